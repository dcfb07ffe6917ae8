"""The embedder: pictures and attribute records in, vectors out."""
