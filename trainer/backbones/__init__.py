"""Frozen networks: loaded once, exported once, never trained."""
