"""`atelier samples`: drawn pictures to try with, and a catalog of drawn garments for a shop that has none."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from atelier.recommender.v1 import catalog_pb2
from typer import Option

from cli.command import Json
from cli.default_models import FASHION_MODELS, packaged
from cli.errors import CommandError
from cli.output import print_answer, print_line
from cli.recommend import CollectionAddress
from services.client.recommender import RecommenderClient
from services.messages.contents import write_record
from trainer.synthetic.artworks import write_artworks
from trainer.synthetic.garments import RECORDS_FILE, write_garments

# No packaged model was trained on pictures of this seed.
SEED: Final = 77
GARMENTS: Final = 240
WORKS: Final = 4
TIERS: Final = "SABC"
DEFAULT_FOLDER: Final = Path("var/samples")

Record = Mapping[str, object]
# Picture and record of each garment, by item identifier.
Garments = Mapping[str, tuple[Path, Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Drawn pictures on disk: `graded` by a name that begins with the tier, and `garments`."""

    graded: Mapping[str, Path]
    garments: Garments


def samples(
    target: CollectionAddress,
    out: Annotated[Path, Option(help="Folder to draw into.")] = DEFAULT_FOLDER,
    fill: Annotated[
        bool,
        Option(
            "--fill",
            help="Also fill the collection with the garments, unless it holds items already or is served by "
            "a model that did not come with Atelier.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw graded pictures to rank and garments to recommend."""
    drawn = draw_samples(out)
    body = {"folder": str(out), "graded": len(drawn.graded), "garments": len(drawn.garments), "imported": 0}
    reason = ""
    if fill:
        with target.client() as recommender:
            reason = reason_to_leave(recommender, target.collection)
            if not reason:
                body["imported"] = import_garments(recommender, drawn.garments, target.collection)
    done = f"{out}: {len(drawn.graded)} graded pictures and {len(drawn.garments)} garments"
    outcome = f"; not imported: {reason}" if reason else f"; {body['imported']} imported" if fill else ""
    print_answer(body, lambda _: print_line(done + outcome), as_json=as_json)


def draw_samples(folder: Path) -> Samples:
    """The sample pictures in a folder, drawn unless they are there; the same on every machine."""
    garments, graded = folder / "garments", folder / "graded"
    if not (garments / RECORDS_FILE).exists():
        write_garments(garments, GARMENTS, SEED)
    if not (graded / "metadata.csv").exists():
        write_artworks(graded, WORKS * len(TIERS), SEED)
    return Samples(graded=graded_pictures(graded, WORKS), garments=read_garments(garments))


def graded_pictures(folder: Path, works: int) -> dict[str, Path]:
    """The pictures of the first works of `trainer.synthetic.artworks`, by tier and work."""
    return {
        f"{tier} work-{number:04d}": folder / f"work_{number:04d}_{tier}.png"
        for number in range(works)
        for tier in TIERS
    }


def read_garments(folder: Path) -> dict[str, tuple[Path, Record]]:
    """The drawn garments of a folder."""
    rows = [json.loads(line) for line in (folder / RECORDS_FILE).read_text(encoding="utf-8").splitlines()]
    return {row["item_id"]: (folder / row["path"], row["attributes"]) for row in rows}


def reason_to_leave(recommender: RecommenderClient, collection: str) -> str:
    """Why a collection is not one to fill with samples; empty if it is."""
    if count := recommender.get_status(collection=collection).live_count:
        return f"{collection} holds {count} items"
    own = {version.space_id for name in packaged().names() for version in packaged().readable(name)}
    served = [each.identity for each in recommender.list_models().models if each.identity.space_id]
    strange = [model.name for model in served if model.name in FASHION_MODELS and model.space_id not in own]
    return f"{strange[0]} in production did not come with Atelier" if strange else ""


def import_garments(recommender: RecommenderClient, garments: Garments, collection: str = "fashion") -> int:
    """Upsert garments; how many. Raises CommandError: if one is refused, naming it."""
    results = recommender.upsert_items(_upserts(garments), collection=collection).results
    for result in results:
        if result.HasField("error"):
            raise CommandError(f"{result.item_id} was not imported: {result.error.message}")
    return len(results)


def _upserts(garments: Garments) -> Iterator[catalog_pb2.UpsertItem]:
    for item_id, (path, record) in garments.items():
        yield catalog_pb2.UpsertItem(
            item_id=item_id, image=path.read_bytes(), attributes=write_record(record)
        )
