"""From photographs to an encoder on disk with its card: what `atelier encoders train` runs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference.pixels import open_upright
from inference.signature import graph_file
from model_store.manifest import ImagePreprocessing
from model_store.store import Version
from trainer.backbones.cards import Card
from trainer.errors import InvalidData
from trainer.graphs import open_graph
from trainer.pretraining.artwork import ArtworkStudent, build_backbone, train_artwork_encoder
from trainer.pretraining.chains import worsen_pictures
from trainer.pretraining.checkpoints import save_artwork_encoder, save_fashion_encoder
from trainer.pretraining.config import ArtworkEncoderSettings, ExamSettings, FashionEncoderSettings
from trainer.pretraining.corpus import cut_garments, decode_photographs, draw_garments
from trainer.pretraining.evaluation import Exam, Vectors, descriptor_spaces, set_exam, sit_exam
from trainer.pretraining.fashion import (
    FashionCorpus,
    build_tower,
    tower_vectors,
    train_fashion_encoder,
)
from trainer.pretraining.photographs import (
    Photograph,
    PhotographSplit,
    commonest_labels,
    photographs_digest,
    split_photographs,
)
from trainer.pretraining.rounding import round_to_half
from trainer.progress import Progress
from trainer.runs import write_report
from trainer.synthetic.garments import tailor
from trainer.synthetic.paintings import artist, paint

# Seeds of drawn pictures to learn from; those of the exam are others.
GARMENT_SEED, PAINTING_SEED = 1234, 4321
SMALLEST_GARMENT = 160
_TAUGHT_AT_ONCE = 64
REPORT_FILE = "report.json"
LIMITS = (
    "trained on a few thousand phone photographs of garments on floors and hangers, and on drawn pictures",
    "not a FashionCLIP or a DINOv2: a small stand-in that sees garment types, colours and faults of pictures",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The directory that `python trainer/export.py --backbone` takes, and the body of `report.json`."""

    directory: Path
    report: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which photographs to learn from, where to write, what was typed."""

    photographs: tuple[Photograph, ...]
    out: Path
    command: str
    exam: ExamSettings
    progress: Progress
    tell: Callable[[str], None]


def train_fashion_image(task: Task, settings: FashionEncoderSettings) -> Trained:
    """Train, round, examine and save the compact `fashion-image`.

    Four fifths of the senders are trained on; the last fifth is only ever examined.
    Raises InvalidData: when the photographs cannot be split. Raises InvalidImage: for an unreadable one.
    """
    split = split_photographs(task.photographs, settings.seed)
    members = (*split.train, *split.val)
    labels = commonest_labels(task.photographs, count=len(task.photographs))
    count, side = settings.garments, settings.source_size
    corpus = FashionCorpus(
        photographs=decode_photographs(members, labels, side, task.progress),
        garments=draw_garments(count, GARMENT_SEED, side, task.progress),
        cut_outs=cut_garments(count, GARMENT_SEED, side, labels, task.progress),
    )
    started = time.monotonic()
    history: list[dict[str, float]] = []
    tower = train_fashion_encoder(corpus, settings, task.progress, _noting(history, task))
    seconds = time.monotonic() - started
    round_to_half(tower)
    exam = set_exam(split, settings.test_size, task.exam, task.progress)

    def vectors(image_NSSC: np.ndarray) -> np.ndarray:
        return tower_vectors(tower, image_NSSC, settings.test_size)

    def untrained(image_NSSC: np.ndarray) -> np.ndarray:
        return tower_vectors(_seeded(lambda: build_tower(settings)), image_NSSC, settings.test_size)

    figures = _examined(exam, {"trained": vectors, "untrained": untrained}, task)
    card = _card(task, settings.seed, figures)
    directory = task.out / "fashion-image"
    save_fashion_encoder(directory, tower, settings, card)
    return _reported(task, directory, split, figures, history, seconds, settings.model_dump(mode="json"))


def train_artwork_backbone(task: Task, settings: ArtworkEncoderSettings, teacher: Version) -> Trained:
    """Train, round, examine and save the compact `artwork-backbone`, taught by a published image model.

    Raises InvalidData: when the photographs cannot be split, or the teacher takes no pictures.
    """
    split = split_photographs(task.photographs, settings.seed)
    members = (*split.train, *split.val)
    sources = list(_sources(members, settings))
    pictures = worsen_pictures(sources, settings.chains, settings.source_size, settings.seed, task.progress)
    teacher_NV = _taught(pictures.image_NSSC, teacher, task.progress)
    started = time.monotonic()
    history: list[dict[str, float]] = []
    model = train_artwork_encoder(pictures, teacher_NV, settings, task.progress, _noting(history, task))
    seconds = time.monotonic() - started
    round_to_half(model)
    exam = set_exam(split, settings.size, task.exam, task.progress)
    spaces: dict[str, Vectors] = {
        "trained": _features(model),
        "untrained": _features(_seeded(lambda: build_backbone(settings))),
    }
    figures = _examined(exam, spaces, task)
    directory = task.out / "artwork-backbone"
    save_artwork_encoder(directory, model, _card(task, settings.seed, figures))
    return _reported(task, directory, split, figures, history, seconds, settings.model_dump(mode="json"))


def examine_version(
    version: Version,
    photographs: Sequence[Photograph],
    seed: int,
    settings: ExamSettings,
    progress: Progress,
) -> dict[str, Any]:
    """The figures of a published image model on the senders that compact encoders never train on.

    Raises InvalidData: when the model takes no pictures of one square size.
    """
    vectors, size = published_vectors(version)
    exam = set_exam(split_photographs(photographs, seed), size, settings, progress)
    return sit_exam(exam, vectors)


def published_vectors(version: Version) -> tuple[Vectors, int]:
    """The vectors of a published image model, and the side of the pictures that it takes.

    Raises InvalidData: when it takes something else than squares of pixels.
    """
    preprocessing = version.manifest.preprocessing
    if not isinstance(preprocessing, ImagePreprocessing) or preprocessing.height != preprocessing.width:
        raise InvalidData(f"{version} takes no square pictures")
    session = open_graph(version.path(graph_file(version.manifest)))
    name, output = session.inputs[0].name, version.manifest.output

    def vectors(image_NSSC: np.ndarray) -> np.ndarray:
        starts = range(0, len(image_NSSC), 32)
        return np.concatenate([session.run({name: image_NSSC[i : i + 32]})[output] for i in starts])

    return vectors, preprocessing.height


def _sources(members: Sequence[Photograph], settings: ArtworkEncoderSettings) -> Iterator[Image.Image]:
    """Photographs, paintings and garments before anything is done to them."""
    for photograph in members:
        picture = open_upright(photograph.path.read_bytes())
        picture.thumbnail((settings.longest_side, settings.longest_side))
        yield picture
    for work in range(settings.paintings):
        yield paint(artist(PAINTING_SEED, work // 3), PAINTING_SEED, work)
    for number in range(settings.garments):
        yield tailor(GARMENT_SEED, number, SMALLEST_GARMENT).picture


def _taught(image_NSSC: np.ndarray, teacher: Version, progress: Progress) -> np.ndarray:
    """float32 vector_NV that the teacher gives for each picture."""
    vectors, size = published_vectors(teacher)
    found = []
    for start in range(0, len(image_NSSC), _TAUGHT_AT_ONCE):
        images = [Image.fromarray(image_SSC) for image_SSC in image_NSSC[start : start + _TAUGHT_AT_ONCE]]
        resized = [np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in images]
        found.append(vectors(np.stack(resized)))
        progress("asking the teacher", start + len(images), len(image_NSSC))
    return np.concatenate(found)


def _features(model: Any) -> Vectors:
    student = ArtworkStudent(model, 1, 1).eval()

    @torch.inference_mode()
    def vectors(image_NSSC: np.ndarray) -> np.ndarray:
        starts = range(0, len(image_NSSC), 32)
        parts = [student.features(torch.from_numpy(image_NSSC[i : i + 32])) for i in starts]
        return torch.cat(parts).numpy()

    return vectors


def _seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def _noting(history: list[dict[str, float]], task: Task) -> Callable[[int, Any, Mapping[str, float]], None]:
    def note(epoch: int, _network: Any, figures: Mapping[str, float]) -> None:
        history.append({"epoch": epoch, **figures})
        told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        task.tell(f"epoch {epoch}: {told}")

    return note


def _examined(exam: Exam, spaces: Mapping[str, Vectors], task: Task) -> dict[str, Any]:
    figures = {}
    for name, vectors in {**spaces, **descriptor_spaces()}.items():
        task.tell(f"examining {name}")
        figures[name] = sit_exam(exam, vectors)
    return figures


def _card(task: Task, seed: int, figures: dict[str, Any]) -> Card:
    return Card(
        command=task.command,
        data=f"{len(task.photographs)} CC0 photographs, four fifths of their senders, and drawn pictures",
        data_version=photographs_digest(task.photographs),
        licence="CC0-1.0",
        seed=seed,
        figures=figures,
        limits=LIMITS,
    )


def _reported(
    task: Task,
    directory: Path,
    split: PhotographSplit,
    figures: dict[str, Any],
    history: list[dict[str, float]],
    seconds: float,
    settings: dict[str, Any],
) -> Trained:
    body = {
        "command": task.command,
        "settings": settings,
        "split": {
            name: {"photographs": len(part), "senders": len({one.sender for one in part})}
            for name, part in (("train", (*split.train, *split.val)), ("test", split.test))
        },
        "figures": figures,
        "epochs": history,
        "training_seconds": round(seconds, 1),
    }
    return Trained(
        directory=directory, report=write_report(task.out / f"{directory.name}-{REPORT_FILE}", body)
    )
