"""Garments with their attribute records."""
