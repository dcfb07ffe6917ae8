"""From photographs to an encoder on disk with its card: what `atelier encoders train` runs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_store.store import Version
from pretraining.artwork import ArtworkStudent, build_backbone, train_artwork_encoder
from pretraining.chains import worsen_pictures
from pretraining.checkpoints import save_artwork_encoder, save_fashion_encoder
from pretraining.config import ArtworkEncoderSettings, ExamSettings, FashionEncoderSettings
from pretraining.corpus import cut_garments, decode_photographs, draw_garments, open_photograph
from pretraining.evaluation import Exam, Vectors, descriptor_spaces, set_exam, sit_exam
from pretraining.fashion import (
    FashionCorpus,
    build_tower,
    tower_vectors,
    train_fashion_encoder,
)
from pretraining.photographs import (
    Photograph,
    PhotographSplit,
    commonest_labels,
    photographs_digest,
    split_photographs,
)
from pretraining.published import published_vectors, strangers
from pretraining.rounding import round_to_half
from trainer.backbones.cards import Card, write_card
from trainer.errors import InvalidData
from trainer.loop.run_folder import claimed
from trainer.loop.runs import choose_device, write_report
from trainer.progress import Progress
from trainer.synthetic.garments import tailor
from trainer.synthetic.paintings import artist, paint

# Seeds of drawn pictures to learn from; those of the exam are others.
GARMENT_SEED, PAINTING_SEED = 1234, 4321
GARMENT_SIDE = 160
_TAUGHT_AT_ONCE = 64
REPORT_FILE = "report.json"
LIMITS = (
    "trained on photographs of garments by a few people, and on drawn pictures",
    "not a FashionCLIP or a DINOv2: a small stand-in that sees garment types, colours and faults of pictures",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The directory that `python trainer/export.py --backbone` takes, and the body of `report.json`."""

    directory: Path
    report: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which photographs to learn from and under what licence they are, where to write, what was typed."""

    photographs: tuple[Photograph, ...]
    licence: str | None = None
    out: Path
    command: str
    exam: ExamSettings
    progress: Progress
    tell: Callable[[str], None]


def train_fashion_image(task: Task, settings: FashionEncoderSettings) -> Trained:
    """Train, round, examine and save the compact `fashion-image`.

    Four fifths of the senders are trained on; the last fifth is only ever examined.
    Raises InvalidData: when the photographs cannot be split, are fewer than a batch or have no labels, and
    for an unreadable one, by name. Raises FolderInUse: when another run writes there. Raises Diverged.
    """
    split = split_photographs(task.photographs, settings.seed)
    members = (*split.train, *split.val)
    labels = commonest_labels(task.photographs, count=len(task.photographs))
    if not labels:
        raise InvalidData("no photograph has a label")
    _check_enough(len(members), settings.photographs_a_batch, "photographs")
    with claimed(task.out):
        # Before the training: what cannot be read is told now.
        exam = set_exam(split, settings.test_size, task.exam, task.progress)
        count, side = settings.garments, settings.source_size
        corpus = FashionCorpus(
            photographs=decode_photographs(members, labels, side, task.progress),
            garments=draw_garments(count, GARMENT_SEED, side, task.progress),
            cut_outs=cut_garments(count, GARMENT_SEED, side, labels, task.progress),
        )
        history: list[dict[str, float]] = []
        started = time.monotonic()
        tower = train_fashion_encoder(corpus, settings, task.progress, _noting(history, task))
        seconds = time.monotonic() - started
        round_to_half(tower)
        directory = task.out / "fashion-image"
        save_fashion_encoder(directory, tower, settings)

        def vectors(image_NSSC: np.ndarray) -> np.ndarray:
            return tower_vectors(tower, image_NSSC, settings.test_size)

        def untrained(image_NSSC: np.ndarray) -> np.ndarray:
            return tower_vectors(_seeded(lambda: build_tower(settings)), image_NSSC, settings.test_size)

        figures = _examined(exam, {"trained": vectors, "untrained": untrained}, task)
        write_card(directory, _card(task, settings.seed, figures))
        return _reported(task, directory, split, figures, history, seconds, settings)


def train_artwork_backbone(task: Task, settings: ArtworkEncoderSettings, teacher: Version) -> Trained:
    """Train, round, examine and save the compact `artwork-backbone`, taught by a published image model.

    Raises InvalidData: when the photographs cannot be split or are fewer than a batch, the teacher takes no
    pictures, and for an unreadable photograph, by name. Raises FolderInUse and Diverged as above.
    """
    split = split_photographs(task.photographs, settings.seed)
    members = (*split.train, *split.val)
    chains = settings.chains * (len(members) + settings.paintings + settings.garments)
    _check_enough(chains, settings.chains_a_batch, "chains of pictures")
    for line in strangers(teacher, task.photographs, settings.seed):
        task.tell(f"teacher {line}")
    with claimed(task.out):
        exam = set_exam(split, settings.size, task.exam, task.progress)
        sources = list(_sources(members, settings))
        pictures = worsen_pictures(
            sources, settings.chains, settings.source_size, settings.seed, task.progress
        )
        teacher_NV = _taught(pictures.image_NSSC, teacher, task.progress)
        history: list[dict[str, float]] = []
        started = time.monotonic()
        model = train_artwork_encoder(pictures, teacher_NV, settings, task.progress, _noting(history, task))
        seconds = time.monotonic() - started
        round_to_half(model)
        directory = task.out / "artwork-backbone"
        save_artwork_encoder(directory, model)
        spaces: dict[str, Vectors] = {
            "trained": _features(model),
            "untrained": _features(_seeded(lambda: build_backbone(settings))),
        }
        figures = _examined(exam, spaces, task)
        write_card(directory, _card(task, settings.seed, figures))
        return _reported(task, directory, split, figures, history, seconds, settings)


def _check_enough(count: int, batch: int, what: str) -> None:
    """Raises InvalidData: when there is not one batch."""
    if count < batch:
        raise InvalidData(f"{count} {what} to train on, a batch takes {batch}")


def _sources(members: Sequence[Photograph], settings: ArtworkEncoderSettings) -> Iterator[Image.Image]:
    """Photographs, paintings and garments before anything is done to them."""
    for photograph in members:
        yield open_photograph(photograph, settings.longest_side)
    for work in range(settings.paintings):
        yield paint(artist(PAINTING_SEED, work // 3), PAINTING_SEED, work)
    for number in range(settings.garments):
        yield tailor(GARMENT_SEED, number, GARMENT_SIDE).picture


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
        data=f"{len(task.photographs)} photographs, four fifths of their senders, and drawn pictures",
        data_version=photographs_digest(task.photographs),
        licence=task.licence,
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
    settings: FashionEncoderSettings | ArtworkEncoderSettings,
) -> Trained:
    body = {
        "command": task.command,
        "settings": settings.model_dump(mode="json"),
        "device": str(choose_device(settings.device)),
        "torch": torch.__version__,
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
