"""Trained and frozen models into the model store: graphs, checks, precisions and aliases."""
