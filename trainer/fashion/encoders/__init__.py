"""Attribute records to vectors."""
