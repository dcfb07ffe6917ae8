"""`atelier fashion …`: garments prepared, an attribute encoder trained, judged and tuned."""

from cli.fashion import checks, data, evaluation, training
from cli.fashion.app import app

__all__ = ["app", "checks", "data", "evaluation", "training"]
