"""`atelier fashion …`: garments prepared, an attribute encoder trained, judged and tuned."""

from cli.fashion import augmentation, checks, data, evaluation, training, tuning
from cli.fashion.app import app

__all__ = ["app", "augmentation", "checks", "data", "evaluation", "training", "tuning"]
