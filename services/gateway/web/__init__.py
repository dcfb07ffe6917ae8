"""HTTP itself: bodies, answers, errors, and what stands around every request."""
