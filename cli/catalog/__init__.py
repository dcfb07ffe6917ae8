"""`atelier catalog …`: fill what can be recommended, look through it, carry it away and bring it back."""

from cli.catalog.copying import backup, restore
from cli.catalog.exporting import export
from cli.catalog.importing import import_items
from cli.catalog.items import delete, list_items
from cli.catalog.options import app

__all__ = ["app", "backup", "delete", "export", "import_items", "list_items", "restore"]
