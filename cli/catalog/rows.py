"""Items as rows of a table: what an import reads and an export writes.

A row of an export, keys in this order: `item_id`; `image`, a path below the folder, or `vector`, an object
of `space_id` and `values`; `attributes`; `released_at`; `in_stock`; `product_id`, unless it is empty.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from atelier.recommender.v1 import catalog_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from cli.catalog.downloads import SCHEMES, DownloadRules, RefusedDownload, download_all
from cli.errors import USAGE, CommandError
from cli.images import find_images, item_ids
from inference.errors import InvalidTable
from inference.item_table import ATTRIBUTES, IMAGE, ITEM, JSON_SUFFIXES, ItemRow, read_item_table
from services.messages.contents import read_record, write_record

TABLE: Final = "items.jsonl"
TABLE_SUFFIXES: Final = JSON_SUFFIXES | {".csv"}
_STOCK, _RELEASED, _PRODUCT, _VECTOR = "in_stock", "released_at", "product_id", "vector"
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SHOWN: Final = 20
_DATE: Final = 10  # characters of 2026-11-27


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """An item to import. message: all of it but the picture, which is read when it is sent."""

    picture: Path | None
    message: catalog_pb2.UpsertItem

    def write(self) -> catalog_pb2.UpsertItem:
        """The whole item."""
        if self.picture is None:
            return self.message
        whole = catalog_pb2.UpsertItem(image=self.picture.read_bytes())
        whole.MergeFrom(self.message)
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReading:
    """How a table is read. columns: as in `read_item_table`. rules: of pictures that a row has an address of.

    downloads: folder of such pictures. again: download also what was downloaded before.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    rules: DownloadRules = field(default_factory=DownloadRules)
    downloads: Path = Path("var/downloads")
    again: bool = False


def read_rows(path: Path, table: Path | None, reading: TableReading | None = None) -> list[ImportRow]:
    """The items of a table whose pictures lie in `path`, of the table `path`, of an export, or of a folder.

    Pictures that a table has web addresses of are downloaded. Raises CommandError: for a path of another
    kind, and naming every row that is no item.
    """
    if table is None and path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        path, table = path.parent, path
    if table is None and (path / TABLE).is_file():
        table = path / TABLE
    if table is not None:
        return _read_table(table, path, reading or TableReading())
    if path.is_file():
        raise CommandError(
            f"{path} is neither a folder nor a table: the suffix of a table is "
            f"{', '.join(sorted(TABLE_SUFFIXES))}",
            code=USAGE,
        )
    named = item_ids(find_images([path]), path)
    return [_row(item_id, picture, {}) for item_id, picture in named.items()]


def write_row(item: resources_pb2.Item, image: str, vector: types_pb2.SpaceVector | None) -> str:
    """The line of an export, without its end. image: path of the picture; '' for an item of `vector`."""
    body: dict[str, Any] = {ITEM: item.item_id}
    if image:
        body[IMAGE] = image
    elif vector is not None:
        # The shortest decimals that give the same float32 again.
        values = [float(str(value)) for value in np.array(vector.values, dtype=np.float32)]
        body[_VECTOR] = {"space_id": vector.space_id, "values": values}
    body[ATTRIBUTES] = dict(sorted(read_record(item.attributes).items()))
    body[_RELEASED] = item.released_at.ToJsonString()
    body[_STOCK] = item.in_stock
    if item.product_id:
        body[_PRODUCT] = item.product_id
    return json.dumps(body, ensure_ascii=False)


def _read_table(table: Path, images: Path, reading: TableReading) -> list[ImportRow]:
    lines = _lines(table, reading.columns)
    urls = [line.image for line in lines if line.image.startswith(SCHEMES)]
    places = download_all(urls, reading.downloads, reading.rules, again=reading.again)
    rows, problems, root, seen = [], [], images.resolve(), dict[str, int]()
    for line in lines:
        try:
            rows.append(_item_of(line, _picture(line.image, images, root, places)))
        except (ValueError, RefusedDownload) as error:
            problems.append(f"line {line.line}: {error}")
        first = seen.setdefault(line.item_id, line.line)
        if first != line.line:
            problems.append(f"line {line.line}: {line.item_id} is the item of line {first} already")
    if problems:
        listed = "; ".join(problems[:_SHOWN])
        raise CommandError(f"{len(problems)} rows of {table} cannot be imported: {listed}", code=USAGE)
    return rows


def _lines(table: Path, columns: Mapping[str, str]) -> Sequence[ItemRow]:
    other = (_STOCK, _RELEASED, _PRODUCT, _VECTOR)
    try:
        return list(read_item_table(table, other=other, instead_of_image=_VECTOR, columns=columns))
    except InvalidTable as error:
        raise CommandError(str(error), code=USAGE) from error


def _picture(
    image: str, images: Path, root: Path, places: Mapping[str, Path | RefusedDownload]
) -> Path | None:
    """The file of a picture. Raises ValueError, RefusedDownload: saying why there is none."""
    if not image:
        return None
    if image in places:
        place = places[image]
        if isinstance(place, RefusedDownload):
            raise place
        return place
    path = images / image
    if not (path.resolve().is_relative_to(root) and path.is_file()):
        raise ValueError(f"no picture {image} in {images}")
    return path


def _item_of(line: ItemRow, picture: Path | None) -> ImportRow:
    """The item of a row. Raises ValueError: saying what is wrong with it."""
    fields = _columns(line.other)
    if picture is None:
        fields["vector"] = _vector(line.other)
    return _row(line.item_id, picture, line.attributes, **fields)


def _row(item_id: str, picture: Path | None, attributes: Mapping[str, Any], **fields: Any) -> ImportRow:
    message = catalog_pb2.UpsertItem(item_id=item_id, attributes=write_record(attributes), **fields)
    return ImportRow(picture=picture, message=message)


def _columns(other: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if _STOCK in other:
        value = other[_STOCK]
        fields[_STOCK] = _stock(value)
    if _RELEASED in other:
        fields[_RELEASED] = _time(str(other[_RELEASED]))
    if _PRODUCT in other:
        fields[_PRODUCT] = str(other[_PRODUCT])
    return fields


def _stock(value: Any) -> bool:
    """Whether an item can be bought: said, or as a number of pieces. Raises ValueError: for anything else."""
    text = str(value).strip().lower()
    if text in _TRUTH:
        return _TRUTH[text]
    if text.isascii() and text.isdigit():
        return int(text) > 0
    raise ValueError(f"{_STOCK} is {value!r}, not true or false and no number of pieces")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(
            f"{_RELEASED} is {text!r}, not a date such as 2026-11-27 or a time such as 2026-11-27T12:00:00Z"
        ) from error


def _vector(other: Mapping[str, Any]) -> types_pb2.SpaceVector:
    try:
        vector = other[_VECTOR]
        return types_pb2.SpaceVector(space_id=vector["space_id"], values=vector["values"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{_VECTOR} is not an object of space_id and values") from error
