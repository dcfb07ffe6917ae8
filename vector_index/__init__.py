"""Vectors to neighbours: exact and HNSW search over rows that come and go, safe to read while written."""
