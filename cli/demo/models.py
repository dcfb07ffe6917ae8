"""The demo's models: packaged image models, and small heads trained on drawn or graded pictures.

The image models come with Atelier (`defaults/`): compact, trained, in eight bits.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import defaults
from cli.demo.questions import Questions, Record
from cli.images import item_ids
from inference.attributes import AttributeSchema
from inference.child_check import check_in_child
from model_store.aliases import PRODUCTION
from model_store.durable import locked, sync_path, write_text
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from model_store.transfer import copy_version
from trainer.artwork.config import read_artwork_config
from trainer.artwork.export import export_artwork_encoder, export_artwork_head
from trainer.artwork.metadata import read_metadata
from trainer.artwork.train import train_artwork
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.prepared_data import read_records
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.train import train_fashion
from trainer.loop.progress import Progress
from trainer.publication.publish import PublishTarget, set_alias
from trainer.synthetic.artworks import write_artworks, write_graded
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace

ARTWORK_MODELS: Final = ("artwork-backbone", "artwork-head", "artwork-encoder")
FASHION_MODELS: Final = ("fashion-image", "fashion-attributes")
RECIPE: Final = 2  # raise it when anything below changes what is made
SEED: Final = 42
GRADED: Final = 160
GARMENTS: Final = 160
RANKED_WORKS: Final = 3

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFigures:
    """How good the trained heads are on pictures that they did not see; kept between runs of the demo.

    key: digest of the recipe and of the photographs that the heads were trained on.
    """

    key: str
    test_pairwise_accuracy: float
    val_recall_at_10: float
    recall_chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPaths:
    """Where the demo keeps pictures, runs, cache and figures; models too, unless `store` names a place."""

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
    def figures(self) -> Path:
        return self.root / "trained.json"

    def workspace(self, run: str, store: ModelStore, progress: Progress) -> Workspace:
        return Workspace(
            store=store, out=self.root / "runs" / run, cache=self.root / "cache", progress=progress
        )


def prepare(
    paths: DemoPaths, photographs: Sequence[Path], say: Say, progress: Progress
) -> tuple[HeadFigures, bool]:
    """Publish and train the models that are missing; the heads' figures, and whether they are new."""
    key = _key(photographs)
    known = _known(paths, key)
    if known:
        return known, False
    say("drawing pictures")
    if photographs:
        write_graded(paths.graded, photographs[: GRADED // 4], SEED)
    else:
        write_artworks(paths.graded, GRADED, SEED)
    write_garments(paths.garments, GARMENTS, SEED)
    target = _target(paths, say)
    accuracy = _publish_artwork(paths, target, progress)
    recall, chance = _publish_fashion(paths, target, progress)
    figures = HeadFigures(
        key=key, test_pairwise_accuracy=accuracy, val_recall_at_10=recall, recall_chance=chance
    )
    write_text(paths.figures, json.dumps(asdict(figures), indent=2) + "\n", sync=False)
    return figures, True


def publish_missing(paths: DemoPaths, say: Say, progress: Progress) -> list[str]:
    """Publish the default models of each kind of judgement that has none in production; their names.

    A kind that has a model in production belongs to the store's owner and stays untouched, unless an
    earlier call was interrupted while publishing it. Of two calls at once the second waits for the first.
    """
    target = _target(paths, say)
    started = paths.models / ".defaults"
    published: list[str] = []
    with locked(started):
        if _is_missing(ARTWORK_MODELS, target.store, started):
            write_artworks(paths.graded, GRADED, SEED)
            _publish_artwork(paths, target, progress)
            published += ARTWORK_MODELS
        if _is_missing(FASHION_MODELS, target.store, started):
            write_garments(paths.garments, GARMENTS, SEED)
            _publish_fashion(paths, target, progress)
            published += FASHION_MODELS
    return published


def questions(paths: DemoPaths, photographs: Sequence[Path], folder: Path) -> Questions:
    """What to ask: works that the head was never trained on, and a catalog to search.

    folder: where the photographs were found; their item identifiers are their paths below it.
    """
    split = json.loads((paths.root / "runs" / "artwork" / "split.json").read_text())
    works = sorted({image_id.rpartition("-")[0] for image_id in split["test"]})[:RANKED_WORKS]
    graded = {
        f"{tier} {work}": paths.graded / f"{work.replace('-', '_')}_{tier}.png"
        for work in works
        for tier in "SABC"
    }
    records = [json.loads(line) for line in (paths.garments / "garments.jsonl").read_text().splitlines()]
    drawn: dict[str, tuple[Path, Record]] = {
        r["item_id"]: (paths.garments / r["path"], r["attributes"]) for r in records
    }
    asked: Mapping[str, object] = records[0]["attributes"]
    # The first garment and the first photograph are queries, so they stay out of the catalog.
    query = photographs[0] if photographs else drawn.pop(records[0]["item_id"])[0]
    taken: dict[str, tuple[Path, Record]] = {
        item_id: (path, {}) for item_id, path in item_ids(photographs[1:], folder).items()
    }
    return Questions(
        graded=graded,
        garments={**taken, **drawn},
        image=query,
        item_id=next(iter(taken or drawn)),
        attributes={field: asked[field] for field in ("category", "colour", "print") if field in asked},
    )


def _target(paths: DemoPaths, say: Say) -> PublishTarget:
    paths.models.mkdir(parents=True, exist_ok=True)
    return PublishTarget(store=ModelStore.at(paths.models), alias=PRODUCTION, notify=say)


def _publish_artwork(paths: DemoPaths, target: PublishTarget, progress: Progress) -> float:
    """Publish backbone, head and encoder; the head's pairwise accuracy on the test split."""
    config = read_artwork_config(overrides=_training(epochs=60))
    backbone = _adopt("artwork-backbone", target)
    artworks = read_metadata(paths.graded / "metadata.csv", paths.graded)
    report = train_artwork(config, artworks, backbone, paths.workspace("artwork", target.store, progress))
    head = export_artwork_head(config, target, checkpoint=report.checkpoint).version
    export_artwork_encoder(backbone, head, target)
    return report.test_accuracy


def _publish_fashion(paths: DemoPaths, target: PublishTarget, progress: Progress) -> tuple[float, float]:
    """Publish image model and attribute encoder; the encoder's Recall@10 and that of chance."""
    config = read_fashion_config(overrides=_training(epochs=30))
    image = _adopt("fashion-image", target)
    schema = AttributeSchema(config.attributes.preprocessing())
    garments = read_records(paths.garments / "garments.jsonl", paths.garments, schema)
    report = train_fashion(config, garments, image, paths.workspace("fashion", target.store, progress))
    export_fashion_attributes(config, target, checkpoint=report.checkpoint)
    return report.recall_at_10, float(report.body["val"]["chance"]["10"])


def _training(epochs: int) -> Mapping[str, object]:
    return {"training.learning_rate": 1e-3, "training.max_epochs": epochs, "training.device": "cpu"}


def _adopt(name: str, target: PublishTarget) -> Version:
    """Copy the packaged version of a model, with its origin, into the store and put it in production."""
    version = copy_version(ModelStore.at(defaults.STORE).resolve(name), target.store, check_in_child)
    alias = set_alias(target.store, version, target.alias)
    target.notify(f"{version} comes with Atelier; {name}@{alias} means it")
    return version


def _key(photographs: Sequence[Path]) -> str:
    lines = [
        f"recipe {RECIPE} {GRADED} {GARMENTS} {SEED}",
        *(f"{p.name} {p.stat().st_size}" for p in photographs),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _known(paths: DemoPaths, key: str) -> HeadFigures | None:
    """The figures of an earlier run on the same pictures, if its models are still in the store."""
    try:
        figures = HeadFigures(**json.loads(paths.figures.read_text()))
        store = ModelStore.at(paths.models)
        for name in (*ARTWORK_MODELS, *FASHION_MODELS):
            store.verify(store.resolve(name))
    except (OSError, ValueError, TypeError, StoreError):
        return None
    return figures if figures.key == key else None


def _is_missing(names: Sequence[str], store: ModelStore, started: Path) -> bool:
    """Whether to publish the models `names`; if so, that is noted in the file `started` first."""
    known = [store.aliases.find(name, PRODUCTION) is not None for name in names]
    if all(known) or (any(known) and names[0] not in started.read_text().split()):
        return False
    with started.open("a") as file:
        file.write(f"{names[0]}\n")
    sync_path(started)
    return True
