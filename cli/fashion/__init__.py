"""`atelier fashion …`: garments prepared, an attribute encoder trained, judged and tuned."""

from cli.fashion import data, evaluation, training
from cli.fashion.options import app

__all__ = ["app", "data", "evaluation", "training"]
