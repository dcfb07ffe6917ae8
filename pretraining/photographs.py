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
# What people who sorted the photographs wrote when they saw no one garment.
NO_LABEL = frozenset({"", "Not sure", "Other", "Skip"})
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FOLDS = 5
# Above this share a sender is never held out, where there are enough others.
MOST_OF_ONE_SENDER, FEW_SENDERS = 0.05, 40
COMMONEST = 10
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One photograph. `label` is empty where nobody said what it shows."""

    path: Path
    sender: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographSplit:
    """Three parts; each sender's photographs are all in one of them."""

    train: tuple[Photograph, ...]
    val: tuple[Photograph, ...]
    test: tuple[Photograph, ...]


def read_photographs(table: Path, images: Path) -> tuple[Photograph, ...]:
    """The photographs that a CSV table with the columns image, sender_id and label lists.

    `image` is a file name in `images`, with or without its ending.
    Raises InvalidData: listing rows without a sender or without a file of their own, or for a table without
    rows.
    """
    rows = _read_rows(table)
    named, stems = _files(images)
    found, problems, seen = [], [], dict[Path, int]()
    for number, row in enumerate(rows, start=2):
        image, sender, label = ((row[name] or "").strip() for name in COLUMNS)
        paths = [named[image]] if image in named else stems.get(image, [])
        if len(paths) != 1:
            problems.append(f"line {number}: {_counted(len(paths))} {image!r} in {images}")
        elif not sender:
            problems.append(f"line {number}: no sender_id")
        elif paths[0] in seen:
            problems.append(f"line {number}: {image!r} is on line {seen[paths[0]]} already")
        else:
            seen[paths[0]] = number
            found.append(Photograph(path=paths[0], sender=sender, label="" if label in NO_LABEL else label))
    if problems:
        shown = problems[:_SHOWN]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        raise InvalidData(f"{table}: {len(problems)} bad rows\n  " + "\n  ".join(shown))
    return tuple(found)


def _read_rows(table: Path) -> list[dict[str, str | None]]:
    try:
        # A table out of a spreadsheet may begin with a byte order mark.
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InvalidData(f"{table}: no column {', '.join(missing)}")
            rows: list[dict[str, str | None]] = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{table}: not readable as CSV ({type(error).__name__})") from error
    if not rows:
        raise InvalidData(f"{table}: no rows")
    return rows


def _counted(pictures: int) -> str:
    return f"{pictures} pictures" if pictures else "no picture"


def _files(images: Path) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """The pictures of a folder by name, and by name without its ending."""
    paths = [path for path in sorted(images.glob("*")) if path.suffix.lower() in SUFFIXES]
    stems: dict[str, list[Path]] = {}
    for path in paths:
        stems.setdefault(path.stem, []).append(path)
    return {path.name: path for path in paths}, stems


def split_photographs(photographs: Sequence[Photograph], seed: int) -> PhotographSplit:
    """Three fifths, one and one of the photographs; labels spread evenly.

    The last is only measured on. The second is to choose by; what is packaged trains on it too.

    Whoever sent more than a twentieth of all photographs is trained on: a part that is mostly one person's
    would measure that person's floor and lamp.
    Raises InvalidData: with fewer other senders than there are parts to deal them into.
    """
    counts = Counter(photograph.sender for photograph in photographs)
    most = MOST_OF_ONE_SENDER * len(photographs) if len(counts) > FEW_SENDERS else len(photographs)
    plentiful = tuple(one for one in photographs if counts[one.sender] > most)
    others = [one for one in photographs if counts[one.sender] <= most]
    count = len({one.sender for one in others})
    if count < FOLDS:
        raise InvalidData(f"photographs come from {count} senders, a split takes {FOLDS}")
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    labels = _spreadable([photograph.label for photograph in others])
    senders = [photograph.sender for photograph in others]
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
    """sha256, hexadecimal, of names, senders, labels and sizes: what a model card calls its data."""
    digest = hashlib.sha256()
    for one in sorted(photographs, key=lambda photograph: photograph.path.name):
        line = f"{one.path.name}\t{one.sender}\t{one.label}\t{one.path.stat().st_size}\n"
        digest.update(line.encode())
    return digest.hexdigest()
