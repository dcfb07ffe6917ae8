"""The demo's models: pictures made or taken, the packaged image models adopted, small heads trained.

The image models come with Atelier (`defaults/`): compact, trained, in eight bits.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from cli.default_models import adopt_defaults
from cli.demo_questions import Questions
from cli.images import item_ids
from inference.attributes import AttributeSchema
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.artwork.export import export_artwork_encoder, export_artwork_head
from trainer.artwork.metadata import read_metadata
from trainer.artwork.train import train_artwork
from trainer.fashion.config import FashionConfig, read_fashion_config
from trainer.fashion.data.records import read_records
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.train import train_fashion
from trainer.progress import Progress
from trainer.publishing import Shelf, point
from trainer.synthetic.artworks import write_artworks, write_graded
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace

ARTWORK_MODELS = ("artwork-backbone", "artwork-head", "artwork-encoder")
FASHION_MODELS = ("fashion-image", "fashion-attributes")
MODELS = (*ARTWORK_MODELS, *FASHION_MODELS)
RECIPE = 2  # raise it when anything below changes what is made
SEED = 42
GRADED = 160
GARMENTS = 160
RANKED_WORKS = 3
PRODUCTION = "production"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How good the trained heads are on what they did not see; kept between runs of the demo."""

    key: str
    test_pairwise_accuracy: float
    val_recall_at_10: float
    recall_chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where the demo makes things: pictures, backbones, runs, cache, and models unless those go elsewhere."""

    root: Path
    store: Path | None = None

    @property
    def models(self) -> Path:
        return self.store or self.root / "models"

    @property
    def graded(self) -> Path:
        return self.root / "pictures" / "graded"

    @property
    def garments(self) -> Path:
        return self.root / "pictures" / "garments"

    @property
    def memory(self) -> Path:
        return self.root / "trained.json"


def prepare(
    shop: Workshop, photographs: Sequence[Path], tell: Tell, progress: Progress
) -> tuple[Trained, bool]:
    """Publish and train what is not there yet; how good the heads are, and whether that was now."""
    key = _key(photographs)
    known = _known(shop, key)
    if known:
        return known, False
    tell("drawing pictures")
    if photographs:
        write_graded(shop.graded, photographs[: GRADED // 4], SEED)
    else:
        write_artworks(shop.graded, GRADED, SEED)
    write_garments(shop.garments, GARMENTS, SEED)
    shop.models.mkdir(parents=True, exist_ok=True)
    shelf = Shelf(store=ModelStore.at(shop.models), alias=PRODUCTION, tell=tell)
    accuracy = _artwork(shop, shelf, progress)
    recall, chance = _fashion(shop, shelf, progress)
    trained = Trained(key=key, test_pairwise_accuracy=accuracy, val_recall_at_10=recall, recall_chance=chance)
    shop.memory.write_text(json.dumps(asdict(trained), indent=2) + "\n")
    return trained, True


def publish_missing(shop: Workshop, tell: Tell, progress: Progress) -> list[str]:
    """Publish the default models of each kind of judgement that has none in production; their names.

    A kind of which anything is in production is its owner's, so nothing of it is touched.
    """
    shop.models.mkdir(parents=True, exist_ok=True)
    shelf = Shelf(store=ModelStore.at(shop.models), alias=PRODUCTION, tell=tell)
    published: list[str] = []
    with _alone(shop.models) as begun:
        if begun.needs(ARTWORK_MODELS, shelf.store):
            write_artworks(shop.graded, GRADED, SEED)
            _artwork(shop, shelf, progress)
            published += ARTWORK_MODELS
        if begun.needs(FASHION_MODELS, shelf.store):
            write_garments(shop.garments, GARMENTS, SEED)
            _fashion(shop, shelf, progress)
            published += FASHION_MODELS
    return published


def questions(shop: Workshop, photographs: Sequence[Path], folder: Path) -> Questions:
    """What to ask: works that the head was never trained on, and a catalogue to look through.

    folder: where the photographs were found; their item identifiers are their places below it.
    """
    split = json.loads((shop.root / "runs" / "artwork" / "split.json").read_text())
    works = sorted({image_id.rpartition("-")[0] for image_id in split["test"]})[:RANKED_WORKS]
    graded = {
        f"{tier} {work}": shop.graded / f"{work.replace('-', '_')}_{tier}.png"
        for work in works
        for tier in "SABC"
    }
    records = [json.loads(line) for line in (shop.garments / "garments.jsonl").read_text().splitlines()]
    drawn = {r["item_id"]: (shop.garments / r["path"], r["attributes"]) for r in records}
    asked = records[0]
    # The first garment and the first photograph are asked about, so they stay out of the catalogue.
    held_out = photographs[0] if photographs else drawn.pop(asked["item_id"])[0]
    named = item_ids(photographs[1:], folder)
    taken = {item_id: (path, _nothing()) for item_id, path in named.items()}
    return Questions(
        graded=graded,
        garments={**taken, **drawn},
        image=held_out,
        item_id=next(iter(taken or drawn)),
        attributes={
            field: asked["attributes"][field]
            for field in ("category", "colour", "print")
            if field in asked["attributes"]
        },
    )


def _artwork(shop: Workshop, shelf: Shelf, progress: Progress) -> float:
    config = _artwork_config()
    backbone = _adopted("artwork-backbone", shelf)
    artworks = read_metadata(shop.graded / "metadata.csv", shop.graded)
    report = train_artwork(config, artworks, backbone, _space(shop, shelf, "artwork", progress))
    head = export_artwork_head(config, shelf, checkpoint=report.checkpoint).version
    export_artwork_encoder(backbone, head, shelf)
    return report.test_accuracy


def _fashion(shop: Workshop, shelf: Shelf, progress: Progress) -> tuple[float, float]:
    config = _fashion_config()
    image = _adopted("fashion-image", shelf)
    schema = AttributeSchema(config.attributes.preprocessing())
    garments = read_records(shop.garments / "garments.jsonl", shop.garments, schema)
    report = train_fashion(config, garments, image, _space(shop, shelf, "fashion", progress))
    export_fashion_attributes(config, shelf, checkpoint=report.checkpoint)
    return report.recall_at_10, float(report.body["val"]["chance"]["10"])


def _adopted(name: str, shelf: Shelf) -> Version:
    """The packaged version, in the store and in production."""
    version = adopt_defaults(shelf.store, (name,))[name]
    alias = point(shelf.store, version, shelf.alias)
    shelf.tell(f"{version} comes with Atelier; {name}@{alias} means it")
    return version


def _artwork_config() -> ArtworkConfig:
    return read_artwork_config(
        overrides={
            "training.learning_rate": 1e-3,
            "training.max_epochs": 60,
            "training.device": "cpu",
        }
    )


def _fashion_config() -> FashionConfig:
    return read_fashion_config(
        overrides={
            "training.learning_rate": 1e-3,
            "training.max_epochs": 30,
            "training.device": "cpu",
        }
    )


def _space(shop: Workshop, shelf: Shelf, run: str, progress: Progress) -> Workspace:
    return Workspace(
        store=shelf.store, out=shop.root / "runs" / run, cache=shop.root / "cache", progress=progress
    )


def _key(photographs: Sequence[Path]) -> str:
    lines = [
        f"recipe {RECIPE} {GRADED} {GARMENTS} {SEED}",
        *(f"{p.name} {p.stat().st_size}" for p in photographs),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _known(shop: Workshop, key: str) -> Trained | None:
    """What an earlier run made, when it made it of the same pictures and its models are still there."""
    try:
        trained = Trained(**json.loads(shop.memory.read_text()))
        store = ModelStore.at(shop.models)
        for name in MODELS:
            store.verify(store.resolve(name))
    except (OSError, ValueError, TypeError, StoreError):
        return None
    return trained if trained.key == key else None


class _Begun:
    """Which kinds' defaults were begun in a store, kept there: one that was broken off is gone on with."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._names = file.read().split()

    def needs(self, names: Sequence[str], store: ModelStore) -> bool:
        """Whether the models `names` are to be published; if so that is noted on disk first."""
        known = [store.aliases.find(name, PRODUCTION) is not None for name in names]
        if all(known) or (any(known) and names[0] not in self._names):
            return False
        self._file.write(f"{names[0]}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return True


@contextmanager
def _alone(store: Path) -> Iterator[_Begun]:
    """Hold off whoever else publishes defaults into `store`: the second then finds them there."""
    with (store / ".defaults").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield _Begun(file)


def _nothing() -> Mapping[str, Any]:
    return {}
