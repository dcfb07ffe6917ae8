"""`atelier fashion …`: garments prepared, an attribute encoder trained, judged and tuned."""

from cli.fashion import data, training, tuning
from cli.fashion.app import app

__all__ = ["app", "data", "training", "tuning"]
