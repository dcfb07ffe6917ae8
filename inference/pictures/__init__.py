"""Encoded pictures: what their headers say, and how they come onto the canvas of a graph."""
