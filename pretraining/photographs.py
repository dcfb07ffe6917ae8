"""Labelled photographs: who sent them, what they show, and a split that no sender straddles."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from trainer.errors import InvalidData

COLUMNS = ("image", "sender_id", "label")
# What people who sorted the photographs wrote when they saw no single garment.
NO_LABEL = frozenset({"", "Not sure", "Other", "Skip"})
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FOLDS = 5
# Where there are more than FEW_SENDERS senders, one with more than this share of the photographs is never
# held out.
MOST_OF_ONE_SENDER = 0.05
FEW_SENDERS = 40
COMMONEST = 10
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One photograph. `label` is empty where it is unknown what it shows."""

    path: Path
    sender: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographSplit:
    """Three parts; each sender's photographs are all in one of them."""

    train: tuple[Photograph, ...]
    val: tuple[Photograph, ...]
    test: tuple[Photograph, ...]

    @property
    def members(self) -> tuple[Photograph, ...]:
        """The photographs that a packaged encoder is trained on: all but the test part."""
        return (*self.train, *self.val)


def read_photographs(table: Path, images: Path) -> tuple[Photograph, ...]:
    """The photographs that a CSV table with the columns image, sender_id and label lists.

    `image` is a file name in `images`, with or without its ending.
    Raises InvalidData: if a row lacks a sender or a picture of its own, listing those rows, or if the table
    has no rows or is not readable.
    """
    rows = _read_rows(table)
    files = _files(images)
    photographs, problems, lines = [], [], dict[Path, int]()
    for line, row in enumerate(rows, start=2):
        image, sender, label = ((row[name] or "").strip() for name in COLUMNS)
        pictures = files.get(image, [])
        if len(pictures) != 1:
            count = f"{len(pictures)} pictures" if pictures else "no picture"
            problems.append(f"line {line}: {count} {image!r} in {images}")
        elif not sender:
            problems.append(f"line {line}: no sender_id")
        elif pictures[0] in lines:
            problems.append(f"line {line}: {image!r} is on line {lines[pictures[0]]} already")
        else:
            lines[pictures[0]] = line
            label = "" if label in NO_LABEL else label
            photographs.append(Photograph(path=pictures[0], sender=sender, label=label))
    if problems:
        shown = problems[:_SHOWN]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        raise InvalidData(f"{table}: {len(problems)} bad rows\n  " + "\n  ".join(shown))
    return tuple(photographs)


def _read_rows(table: Path) -> list[dict[str, str | None]]:
    try:
        # A table out of a spreadsheet may begin with a byte order mark.
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                present = ", ".join(reader.fieldnames or ())
                raise InvalidData(f"{table}: no column {', '.join(missing)}; the columns are {present}")
            rows: list[dict[str, str | None]] = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{table}: not readable as CSV ({type(error).__name__})") from error
    if not rows:
        raise InvalidData(f"{table}: no rows")
    return rows


def _files(images: Path) -> dict[str, list[Path]]:
    """The pictures of a folder by name without ending, and by whole name, which comes first."""
    paths = [path for path in sorted(images.glob("*")) if path.suffix.lower() in SUFFIXES]
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(path.stem, []).append(path)
    return files | {path.name: [path] for path in paths}


def split_photographs(photographs: Sequence[Photograph], seed: int) -> PhotographSplit:
    """Three fifths, a fifth and a fifth of the photographs; labels spread evenly.

    `test` is only measured on; `val` is for choosing, and packaged encoders train on it too.

    Senders of more than a twentieth of all photographs are always in the first part: a test part that is
    mostly one person's would measure how well the encoder knows that person's floor and lamp.
    Raises InvalidData: with fewer other senders than FOLDS.
    """
    counts = Counter(photograph.sender for photograph in photographs)
    most = MOST_OF_ONE_SENDER * len(photographs) if len(counts) > FEW_SENDERS else len(photographs)
    plentiful = tuple(photograph for photograph in photographs if counts[photograph.sender] > most)
    others = [photograph for photograph in photographs if counts[photograph.sender] <= most]
    senders = [photograph.sender for photograph in others]
    if len(set(senders)) < FOLDS:
        raise InvalidData(
            f"{len(set(senders))} senders are small enough to hold out, a split needs {FOLDS}:"
            " add photographs of other senders"
        )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    labels = _spreadable([photograph.label for photograph in others])
    parts = [held for _, held in folds.split(np.zeros(len(labels)), labels, senders)]
    test, val, *rest = (tuple(others[i] for i in part) for part in parts)
    return PhotographSplit(train=(*plentiful, *(p for part in rest for p in part)), val=val, test=test)


def _spreadable(labels: Sequence[str]) -> list[str]:
    """The labels, those too rare to be in every part counted as the commonest."""
    counts = Counter(labels)
    commonest = counts.most_common(1)[0][0]
    return [label if counts[label] >= FOLDS else commonest for label in labels]


def commonest_labels(photographs: Iterable[Photograph], count: int = COMMONEST) -> tuple[str, ...]:
    """The labels with most photographs, commonest first."""
    counts = Counter(photograph.label for photograph in photographs if photograph.label)
    return tuple(sorted(counts, key=lambda label: (-counts[label], label))[:count])


def photographs_digest(photographs: Iterable[Photograph]) -> str:
    """sha256, hexadecimal, of names, senders, labels and sizes: the data version of a model card."""
    digest = hashlib.sha256()
    for photograph in sorted(photographs, key=lambda photograph: photograph.path.name):
        path, size = photograph.path, photograph.path.stat().st_size
        digest.update(f"{path.name}\t{photograph.sender}\t{photograph.label}\t{size}\n".encode())
    return digest.hexdigest()
