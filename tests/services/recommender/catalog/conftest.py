"""A catalog in a temporary directory, and the items in it."""

import hashlib
import sqlite3

import numpy as np
import pytest

from services.recommender.catalog import database
from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.store import Catalog

SPACE = "a" * 64


@pytest.fixture
def open_catalog(tmp_path):
    opened = []

    def _open():
        opened.append(Catalog(tmp_path / "catalogue"))
        return opened[-1]

    yield _open
    for one in opened:
        one.close()


@pytest.fixture
def catalog(open_catalog):
    return open_catalog()


def reopened(catalog, open_catalog):
    catalog.close()
    catalog._database.close = lambda: None
    return open_catalog()


def write(catalog, item_id, picture="knit", collection="fashion", **fields):
    data = picture.encode()
    digest = hashlib.sha256(data).hexdigest()
    entry = ItemEntry(
        **{
            "item_id": item_id,
            "attributes": {},
            "released_us": None,
            "in_stock": True,
            "picture_digest": digest,
            "source": f"p:{digest}",
        }
        | fields
    )
    vector = SourceVector(source=entry.source, space_id=SPACE, vector_D=np.arange(1, 5, dtype=np.float32))
    return catalog.upsert(collection, [entry], new_vectors=[vector], pictures={digest: data})


def tamper(tmp_path, statement):
    with sqlite3.connect(tmp_path / "catalogue" / database.FILE) as connection:
        connection.execute(statement)
    connection.close()
