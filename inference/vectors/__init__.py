"""Vectors that are kept: the file of the cache on disk, and the map in memory in front of it."""
