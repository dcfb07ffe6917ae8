"""The demo's own heads, `--train`: trained on drawn or graded pictures, over the packaged image models."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cli.default_models import ARTWORK_MODELS, FASHION_MODELS, adopt
from cli.demo.paths import DemoPaths
from inference.attributes import AttributeSchema
from model_store.aliases import PRODUCTION
from model_store.durable import write_text
from model_store.errors import StoreError
from model_store.store import ModelStore
from trainer.artwork.config import read_artwork_config
from trainer.artwork.data.metadata import read_metadata
from trainer.artwork.export import export_artwork_encoder, export_artwork_head
from trainer.artwork.train import train_artwork
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.prepared_data import read_records
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.train import train_fashion
from trainer.loop.progress import Progress
from trainer.publication.publish import PublishTarget
from trainer.synthetic.artworks import write_artworks, write_graded
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace

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


def test_works(paths: DemoPaths) -> dict[str, Path]:
    """Pictures of works that the head was not trained on, by a name that begins with their tier."""
    split = json.loads((paths.run("artwork") / "split.json").read_text())
    works = sorted({image_id.rpartition("-")[0] for image_id in split["test"]})[:RANKED_WORKS]
    return {
        f"{tier} {work}": paths.graded / f"{work.replace('-', '_')}_{tier}.png"
        for work in works
        for tier in "SABC"
    }


def _target(paths: DemoPaths, say: Say) -> PublishTarget:
    paths.models.mkdir(parents=True, exist_ok=True)
    return PublishTarget(store=ModelStore.at(paths.models), alias=PRODUCTION, notify=say)


def _workspace(paths: DemoPaths, run: str, target: PublishTarget, progress: Progress) -> Workspace:
    return Workspace(store=target.store, out=paths.run(run), cache=paths.root / "cache", progress=progress)


def _publish_artwork(paths: DemoPaths, target: PublishTarget, progress: Progress) -> float:
    """Publish backbone, head and encoder; the head's pairwise accuracy on the test split."""
    config = read_artwork_config(overrides=_training(epochs=60))
    (backbone,) = adopt(ARTWORK_MODELS[:1], target.store, target.notify)
    artworks = read_metadata(paths.graded / "metadata.csv", paths.graded)
    space = _workspace(paths, "artwork", target, progress)
    report = train_artwork(config, artworks, backbone, space, overwrite=True)
    head = export_artwork_head(config, target, checkpoint=report.checkpoint).version
    export_artwork_encoder(backbone, head, target)
    return report.test_accuracy


def _publish_fashion(paths: DemoPaths, target: PublishTarget, progress: Progress) -> tuple[float, float]:
    """Publish image model and attribute encoder; the encoder's Recall@10 and that of chance."""
    config = read_fashion_config(overrides=_training(epochs=30))
    (image,) = adopt(FASHION_MODELS[:1], target.store, target.notify)
    schema = AttributeSchema(config.attributes.preprocessing())
    garments = read_records(paths.garments / "garments.jsonl", paths.garments, schema)
    space = _workspace(paths, "fashion", target, progress)
    report = train_fashion(config, garments, image, space, overwrite=True)
    export_fashion_attributes(config, target, checkpoint=report.checkpoint)
    return report.recall_at_10, float(report.body["val"]["chance"]["10"])


def _training(epochs: int) -> Mapping[str, object]:
    return {"training.learning_rate": 1e-3, "training.max_epochs": epochs, "training.device": "cpu"}


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
