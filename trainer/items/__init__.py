"""Item vectors: a table of features to weighted vectors, an index and a published version (I-1 … I-8)."""
