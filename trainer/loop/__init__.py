"""The one training run: its folder, epochs, checkpoints and tracking."""
