"""Which settings train best: what is tried, how, and what came of it (F-21)."""
