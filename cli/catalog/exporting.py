"""`atelier catalog export`: the items of a collection as JSON lines with their pictures."""

import hashlib
import sys
from pathlib import Path
from typing import Annotated, Final

from atelier.recommender.v1 import catalog_pb2, resources_pb2
from rich.progress import track
from typer import Argument

from cli.catalog.options import app
from cli.catalog.rows import TABLE, write_row
from cli.command import Json, command
from cli.errors import USAGE, CommandError
from cli.output import print_json, print_line, print_notice, progress_console
from cli.recommend import CollectionAddress
from inference.errors import InvalidImage
from inference.pixels import ImageLimits, inspect_image
from model_store.durable import rename, staging, sync_tree, write_bytes, write_text
from services.client.recommender import RecommenderClient
from services.runtime.errors import NotFound

_PICTURES: Final = "pictures"
_PAGE: Final = 1_000
_SUFFIXES: Final = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@command(app)
def export(
    out: Annotated[Path, Argument(help="Folder to write; it must be empty or not exist.")],
    target: CollectionAddress,
    as_json: Json = False,
) -> None:
    """Write a collection as items.jsonl, sorted by item, and its pictures, named by their sha256.

    The same items give the same bytes: revision numbers are left out. `atelier catalog import` reads it.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} is not an empty folder", code=USAGE)
    with target.client() as recommender, staging(out) as staged:
        listed = list(recommender.list_items(collection=target.collection, page_size=_PAGE))
        writer = _ExportWriter(recommender, target.collection, staged)
        shown = track(listed, "exporting", console=progress_console, disable=as_json)
        lines = list(filter(None, map(writer.write, shown)))
        write_text(staged / TABLE, "".join(f"{line}\n" for line in lines), sync=False)
        sync_tree(staged)
        rename(staged, out)
    if len(lines) < len(listed):
        print_notice(f"{len(listed) - len(lines)} items were deleted meanwhile and are left out")
    if as_json:
        print_json({"items": len(lines), "pictures": len(writer.pictures), "folder": str(out)})
    else:
        print_line(f"exported {len(lines)} items and {len(writer.pictures)} pictures to {out}")


class _ExportWriter:
    """Writes each picture once. pictures: path below the folder by digest."""

    def __init__(self, recommender: RecommenderClient, collection: str, folder: Path) -> None:
        self._recommender = recommender
        self._collection = collection
        self._folder = folder
        self.pictures: dict[str, str] = {}
        (folder / _PICTURES).mkdir()

    def write(self, listed: resources_pb2.Item) -> str:
        """The line of an item, whose picture is written by then; '' if it was deleted meanwhile."""
        if listed.picture_digest in self.pictures:
            return write_row(listed, self.pictures[listed.picture_digest], None)
        reply = self._get(listed)
        if reply is None:
            return ""
        digest = reply.item.picture_digest
        if digest and digest not in self.pictures:
            self.pictures[digest] = self._write_picture(digest, reply.picture)
        if not digest and not reply.HasField("vector"):
            raise CommandError(f"item {listed.item_id} has neither a picture nor a vector to export")
        return write_row(reply.item, self.pictures.get(digest, ""), reply.vector)

    def _get(self, listed: resources_pb2.Item) -> catalog_pb2.GetItemResponse | None:
        """The item as it is now: it may have got a picture since it was listed, or lost it."""
        try:
            return self._recommender.get_item(
                listed.item_id, collection=self._collection, include_picture=True, include_vector=True
            )
        except NotFound:
            return None

    def _write_picture(self, digest: str, data: bytes) -> str:
        if hashlib.sha256(data).hexdigest() != digest:
            raise CommandError(f"picture {digest[:12]} came back changed: its hash differs")
        name = f"{_PICTURES}/{digest}{_suffix(data)}"
        write_bytes(self._folder / name, data, sync=False)
        return name


def _suffix(data: bytes) -> str:
    """The suffix of a picture's format, whatever the bounds of the service are; '' if it is unknown."""
    try:
        limits = ImageLimits(byte_count=len(data), pixel_count=sys.maxsize, frame_count=sys.maxsize)
        return _SUFFIXES.get(inspect_image(data, limits).format or "", "")
    except InvalidImage:
        return ""
