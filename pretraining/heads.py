"""The packaged `artwork-head` and `fashion-attributes`: trained on drawn pictures over packaged image models.

What `atelier encoders heads` runs. Paintings, and garments laid on paintings, are made worse by degrees for
the head; garments on plain grounds teach the attribute encoder. No photograph is trained on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from inference.attributes import AttributeSchema
from inference.child_check import check_in_child
from model_store.aliases import PRODUCTION
from model_store.store import Draft, ModelStore, Version
from model_store.transfer import copy_version
from pretraining.config import HeadsSettings
from pretraining.drawn_sets import write_graded_set
from pretraining.head_benchmark import Baseline, calibrate_head, measure_attributes, measure_head
from pretraining.photographs import Photograph, photographs_digest, split_photographs
from trainer.artwork.config import read_artwork_config
from trainer.artwork.data.metadata import read_metadata
from trainer.artwork.export import export_artwork_head
from trainer.artwork.train import train_artwork
from trainer.configuration import CONFIG_DIRECTORY
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.prepared_data import read_records
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.train import train_fashion
from trainer.loop.progress import Progress
from trainer.publication.publish import PublishTarget
from trainer.reports.json_report import write_report
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace

LABELS: Final = "labels.yml"
IMAGE_MODELS: Final = ("artwork-backbone", "fashion-image")
LICENCE: Final = "CC0-1.0"
REPORT_FILE: Final = "heads-report.json"
LIMITS: Final = (
    "weights are trained on drawn pictures alone; the temperature of the head is fitted on photographs",
    "figures are of photographs of senders that no image model saw; recipes were compared on them",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsTask:
    """The store of the image models, the photographs to measure on, the folder of the run, the command.

    target: the store that the heads are published into, as its `production`.
    """

    store: ModelStore
    target: ModelStore
    photographs: tuple[Photograph, ...]
    out: Path
    command: str
    progress: Progress
    log: Callable[[str], None]


def train_heads(task: HeadsTask, settings: HeadsSettings) -> dict[str, Any]:
    """Train, measure and publish both heads; the body of `heads-report.json`.

    Raises InvalidData: if the photographs cannot be split. Raises NotInStore: if an image model is missing.
    Raises FolderInUse: if another run writes there. Raises Diverged: when training cannot go on.
    """
    draft = ModelStore.at(_folder(task.out / "models"))
    backbone, image = (_adopted(name, task.store, draft) for name in IMAGE_MODELS)
    target = PublishTarget(store=draft, alias=PRODUCTION, notify=task.log)
    head, untrained_head = _train_head(task, settings, backbone, target)
    encoder, untrained_encoder = _train_encoder(task, settings, image, target)
    split = split_photographs(task.photographs, image.manifest.provenance.seed or 0)
    calibration = calibrate_head(backbone, head, split.val, task.progress)
    heads, encoders = Baseline(head, untrained_head), Baseline(encoder, untrained_encoder)
    figures = {
        head.name: measure_head(backbone, heads, calibration, split.test, task.progress),
        encoder.name: measure_attributes(image, encoders, split.test, task.progress),
    }
    data_version = photographs_digest(task.photographs)
    labels = {"labels": _labels()["languages"]}
    for version, changes, more in ((head, {"calibration": calibration}, {}), (encoder, {}, labels)):
        card = {"figures": figures[version.name], "photographs": data_version, "limits": list(LIMITS)}
        metrics = {**version.manifest.metrics, "card": card, **more}
        published = _publish(version, {"metrics": metrics, **changes}, task)
        task.log(f"{published} of {task.target.place} is in production")
    body = {"command": task.command, "settings": settings.model_dump(mode="json"), "figures": figures}
    return write_report(task.out / REPORT_FILE, body)


def english_spelling() -> dict[str, str]:
    """What leads the labels of `config/labels.yml`, and the synonyms there, to the words that they mean."""
    table = _labels()
    labels = [words for fields in table["languages"].values() for words in fields.values()]
    synonyms: dict[str, str] = table["synonyms"]
    return {label: word for words in labels for word, label in words.items()} | synonyms


def _train_head(
    task: HeadsTask, settings: HeadsSettings, backbone: Version, target: PublishTarget
) -> tuple[Version, Version]:
    """The trained head, and one of random weights."""
    config = read_artwork_config(overrides=settings.artwork)
    table = write_graded_set(task.out / "graded", settings, task.progress)
    untrained = export_artwork_head(config, target).version
    artworks = read_metadata(table, table.parent)
    report = train_artwork(config, artworks, backbone, _workspace(task, "artwork"), overwrite=True)
    return export_artwork_head(config, target, checkpoint=report.checkpoint).version, untrained


def _train_encoder(
    task: HeadsTask, settings: HeadsSettings, image: Version, target: PublishTarget
) -> tuple[Version, Version]:
    """The trained attribute encoder, and one of random weights."""
    fashion = read_fashion_config()
    spelling = {**english_spelling(), **fashion.attributes.spelling}
    config = read_fashion_config(overrides={"attributes.spelling": spelling, **settings.fashion})
    task.log("drawing garments")
    table = write_garments(task.out / "garments", settings.garments, settings.seed)
    untrained = export_fashion_attributes(config, target).version
    records = read_records(table, table.parent, AttributeSchema(config.attributes.preprocessing()))
    report = train_fashion(config, records, image, _workspace(task, "fashion"), overwrite=True)
    return export_fashion_attributes(config, target, checkpoint=report.checkpoint).version, untrained


def _publish(version: Version, changes: Mapping[str, object], task: HeadsTask) -> Version:
    """The version in the target store with fields of its manifest changed and its origin, in production."""
    manifest = version.manifest
    fields = {**manifest.model_dump(exclude={"files"}), **changes}
    notes = (*manifest.provenance.notes, "data: drawn pictures alone", f"made by: {task.command}", *LIMITS)
    provenance = manifest.provenance.model_copy(update={"licence": LICENCE, "notes": notes})
    fields["provenance"] = provenance.model_dump()
    files = manifest.files.items()
    graph, golden = (
        {name: version.path(name) for name, entry in files if entry.role == role}
        for role in ("graph", "golden")
    )
    draft = Draft(manifest=fields, graph=graph, golden=golden, payload={})
    published = task.target.publish(draft, check_in_child)
    task.target.aliases.move(version.name, PRODUCTION, published.number, published.digest)
    return published


def _adopted(name: str, store: ModelStore, target: ModelStore) -> Version:
    """The image model in production, copied and in production there too."""
    version = copy_version(store.resolve(name), target, check_in_child)
    target.aliases.move(name, PRODUCTION, version.number, version.digest)
    return version


def _workspace(task: HeadsTask, run: str) -> Workspace:
    return Workspace(store=task.store, out=task.out / run, cache=task.out / "cache", progress=task.progress)


def _labels() -> Any:
    return yaml.safe_load((CONFIG_DIRECTORY / LABELS).read_text(encoding="utf-8"))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
