"""From photographs to an encoder on disk with its card: what `atelier encoders train` runs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_store.store import Version
from pretraining import artwork_backbone, fashion_image
from pretraining.benchmark import (
    DESCRIPTORS,
    Benchmark,
    Encode,
    build_benchmark,
    leakage_warnings,
    open_encoder,
    run_benchmark,
)
from pretraining.config import ArtworkEncoderSettings, BenchmarkSettings, FashionEncoderSettings
from pretraining.corpus import cut_garments, decode_photographs, draw_garments, open_photograph
from pretraining.optimiser import round_to_half
from pretraining.photographs import (
    Photograph,
    PhotographSplit,
    commonest_labels,
    photographs_digest,
    split_photographs,
)
from pretraining.worsening import worsen_pictures
from trainer.backbones.cards import Card, write_card
from trainer.errors import InvalidData
from trainer.loop.device import choose_device
from trainer.loop.progress import Progress
from trainer.loop.run_folder import claimed
from trainer.reports.json_report import write_report
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.paintings import draw_painting

# Seeds of drawn pictures to learn from; those of the benchmark are others.
GARMENT_SEED, PAINTING_SEED = 1234, 4321
GARMENT_SIDE = 160
REPORT_FILE = "report.json"
LIMITS = (
    "trained on photographs of garments by a few people, and on drawn pictures",
    "not a FashionCLIP or a DINOv2: a small stand-in that sees garment types, colours and faults of pictures",
)
_TEACHER_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEncoder:
    """The directory that `python trainer/export.py --backbone` takes, and the body of `report.json`."""

    directory: Path
    report: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingTask:
    """The photographs to learn from and their licence, the folder to write to, the command as typed.

    log: takes a line about the course of the training.
    """

    photographs: tuple[Photograph, ...]
    licence: str | None = None
    out: Path
    command: str
    benchmark: BenchmarkSettings
    progress: Progress
    log: Callable[[str], None]


def train_fashion_image(task: PretrainingTask, settings: FashionEncoderSettings) -> TrainedEncoder:
    """Train, round, save and measure the compact `fashion-image`.

    Four fifths of the senders are trained on; the last fifth is only ever measured on.
    Raises InvalidData: if the photographs cannot be split, are fewer than a batch or have no labels, or if
    one cannot be read, naming it. Raises FolderInUse: if another run writes there. Raises Diverged.
    """
    split = split_photographs(task.photographs, settings.seed)
    labels = commonest_labels(task.photographs, count=len(task.photographs))
    if not labels:
        raise InvalidData("no photograph has a label")
    _check_enough(len(split.members), settings.photographs_a_batch, "photographs")
    with claimed(task.out):
        # Before the training, so that a photograph which cannot be read is named at once.
        benchmark = build_benchmark(split, settings.test_size, task.benchmark, task.progress)
        count, side = settings.garments, settings.source_size
        corpus = fashion_image.FashionCorpus(
            photographs=decode_photographs(split.members, labels, side, task.progress),
            garments=draw_garments(count, GARMENT_SEED, side, task.progress),
            cut_outs=cut_garments(count, GARMENT_SEED, side, labels, task.progress),
        )
        run = _Run("fashion-image", task, settings)
        tower = fashion_image.train(corpus, settings, task.progress, run.record)
        round_to_half(tower)
        fashion_image.save(tower, settings, run.directory)
        untrained = _seeded(partial(fashion_image.build, settings))
        encode = partial(fashion_image.encode, size=settings.test_size)
        return run.finish(split, benchmark, partial(encode, tower), partial(encode, untrained))


def train_artwork_backbone(
    task: PretrainingTask, settings: ArtworkEncoderSettings, teacher: Version
) -> TrainedEncoder:
    """Train, round, save and measure the compact `artwork-backbone`, taught by a published image model.

    Raises InvalidData: if the photographs cannot be split or are fewer than a batch, if the teacher takes no
    pictures, or if a photograph cannot be read, naming it. Raises FolderInUse and Diverged as above.
    """
    split = split_photographs(task.photographs, settings.seed)
    chains = settings.chains * (len(split.members) + settings.paintings + settings.garments)
    _check_enough(chains, settings.chains_a_batch, "chains of pictures")
    for line in leakage_warnings(teacher, task.photographs, settings.seed):
        task.log(f"teacher {line}")
    with claimed(task.out):
        benchmark = build_benchmark(split, settings.size, task.benchmark, task.progress)
        sources = list(_sources(split.members, settings))
        pictures = worsen_pictures(
            sources, settings.chains, settings.source_size, settings.seed, task.progress
        )
        teacher_NV = _teacher_vectors(pictures.image_NSSC, teacher, task.progress)
        run = _Run("artwork-backbone", task, settings)
        model = artwork_backbone.train(pictures, teacher_NV, settings, task.progress, run.record)
        round_to_half(model)
        artwork_backbone.save(model, run.directory)
        untrained = _seeded(partial(artwork_backbone.build, settings))
        encode = artwork_backbone.encode
        return run.finish(split, benchmark, partial(encode, model), partial(encode, untrained))


class _Run:
    """The training of one encoder: its epochs so far, and what it writes in the end."""

    def __init__(
        self, name: str, task: PretrainingTask, settings: FashionEncoderSettings | ArtworkEncoderSettings
    ) -> None:
        self._name, self._task, self._settings = name, task, settings
        self._started, self._seconds = time.monotonic(), 0.0
        self._epochs: list[dict[str, float]] = []
        self.directory = task.out / name

    def record(self, epoch: int, _network: Any, figures: Mapping[str, float]) -> None:
        """Keep and log the figures of an epoch."""
        self._seconds = time.monotonic() - self._started
        self._epochs.append({"epoch": epoch, **figures})
        self._task.log(f"epoch {epoch}: " + ", ".join(f"{name} {figures[name]:.3f}" for name in figures))

    def finish(
        self, split: PhotographSplit, benchmark: Benchmark, trained: Encode, untrained: Encode
    ) -> TrainedEncoder:
        """Run the benchmark on the encoder and its baselines, and write card and report."""
        task, settings, figures = self._task, self._settings, {}
        for name, encode in {"trained": trained, "untrained": untrained, **DESCRIPTORS}.items():
            task.log(f"benchmark: {name}")
            figures[name] = run_benchmark(benchmark, encode)
        card = Card(
            command=task.command,
            data=f"{len(task.photographs)} photographs, four fifths of their senders, and drawn pictures",
            data_version=photographs_digest(task.photographs),
            licence=task.licence,
            seed=settings.seed,
            figures=figures,
            limits=LIMITS,
        )
        write_card(self.directory, card)
        body = {
            "command": task.command,
            "settings": settings.model_dump(mode="json"),
            "device": str(choose_device(settings.device)),
            "torch": torch.__version__,
            "split": {
                name: {"photographs": len(part), "senders": len({photograph.sender for photograph in part})}
                for name, part in (("train", split.members), ("test", split.test))
            },
            "figures": figures,
            "epochs": self._epochs,
            "training_seconds": round(self._seconds, 1),
        }
        report = write_report(task.out / f"{self._name}-{REPORT_FILE}", body)
        return TrainedEncoder(directory=self.directory, report=report)


def _check_enough(count: int, batch: int, what: str) -> None:
    """Raises InvalidData: if there is less than one batch."""
    if count < batch:
        raise InvalidData(f"{count} {what} to train on, a batch takes {batch}")


def _sources(members: Sequence[Photograph], settings: ArtworkEncoderSettings) -> Iterator[Image.Image]:
    """Photographs, paintings and garments before anything is done to them."""
    for photograph in members:
        yield open_photograph(photograph, settings.longest_side)
    for work in range(settings.paintings):
        yield draw_painting(PAINTING_SEED, work)
    for number in range(settings.garments):
        yield draw_garment(GARMENT_SEED, number, GARMENT_SIDE).picture


def _teacher_vectors(image_NSSC: np.ndarray, teacher: Version, progress: Progress) -> np.ndarray:
    """float32 vector_NV that the teacher gives for each picture."""
    encode, size = open_encoder(teacher)
    vectors = []
    for start in range(0, len(image_NSSC), _TEACHER_BATCH):
        images = [Image.fromarray(image_SSC) for image_SSC in image_NSSC[start : start + _TEACHER_BATCH]]
        resized = [np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in images]
        vectors.append(encode(np.stack(resized)))
        progress("asking the teacher", start + len(images), len(image_NSSC))
    return np.concatenate(vectors)


def _seeded(build: Callable[[], Any]) -> Any:
    """A network whose random weights are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()
