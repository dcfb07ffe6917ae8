"""From bytes to vectors: decode → session → check, the same in training, evaluation and serving."""
