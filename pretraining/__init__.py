"""Compact image encoders, trained here from photographs and drawn pictures: answers without a download."""
