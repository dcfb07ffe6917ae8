"""From a question to the items that answer it."""
