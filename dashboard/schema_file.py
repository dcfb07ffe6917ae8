"""The JSON Schema of the document as a file: `python -m dashboard.schema_file` writes it (D-1)."""

import json
from pathlib import Path
from typing import Final

from dashboard.document import dashboard_schema
from model_store.durable import write_text

SCHEMA_FILE: Final = Path("docs/dashboard.schema.json")


def schema_text() -> str:
    """What the file holds."""
    return json.dumps(dashboard_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(SCHEMA_FILE, schema_text())
