"""Accepted work, its order, and the engines that do it."""
