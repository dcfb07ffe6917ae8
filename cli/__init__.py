"""The front door: the `atelier` command."""
