"""Artworks as data: their list, parts, pairs, and copies of one picture."""
