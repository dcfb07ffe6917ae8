"""`atelier fashion …`: garments prepared, an attribute encoder trained, judged and tuned."""

from cli.fashion import augmentation, data, training
from cli.fashion.app import app

__all__ = ["app", "augmentation", "data", "training"]
