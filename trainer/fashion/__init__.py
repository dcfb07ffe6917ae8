"""Which garment belongs here: attribute records in the space of garment pictures."""
