"""How well records find their pictures."""
