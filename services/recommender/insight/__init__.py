"""What the service learns about its own answers."""
