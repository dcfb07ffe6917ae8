"""`atelier catalog …`: fill what can be recommended, look through it, carry it away and bring it back."""

from cli.catalog import copying, exporting, importing, items
from cli.catalog.options import app

__all__ = ["app", "copying", "exporting", "importing", "items"]
