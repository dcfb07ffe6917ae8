"""Pictures that need no download: deterministic, seeded, drawn with numpy and Pillow."""
