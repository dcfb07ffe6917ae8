"""`python -m tests.openapi`: write docs/openapi.json from the routes of the gateway."""

from pathlib import Path

import orjson

from services.gateway.app import routed_app
from services.gateway.document import openapi_document

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def fresh() -> bytes:
    """What the file is to hold: the document, as people can compare it."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(openapi_document(routed_app()), option=options)


if __name__ == "__main__":
    DOCUMENT.write_bytes(fresh())
