"""A table of items to unit vectors: read, cleaned, assembled, weighted, projected."""
