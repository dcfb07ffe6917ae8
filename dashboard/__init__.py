"""What a training run shows: its document, thinned curves, and the runs below a folder (D-1)."""
