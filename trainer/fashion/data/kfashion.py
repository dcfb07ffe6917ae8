"""K-Fashion on disk: label files and photographs, by style and partition (F-1).

Names are compared in NFC: copies made on macOS have them decomposed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import InvalidData
from trainer.fashion.data.data_report import Problem
from trainer.fashion.data.kfashion_label import DEFAULT_LOOKS, OTHER_STYLE, Label, nfc, read_label

LABELS, PICTURES = "라벨링데이터", "원천데이터"
PARTITIONS = ("Training", "Validation")
DEFAULT_STYLES = ("레트로", "로맨틱", "리조트")
# fmt: off
STYLES = (
    "레트로", "로맨틱", "리조트", "매니시", "모던", "밀리터리", "섹시", "소피스트케이티드",
    "스트리트", "스포티", "아방가르드", "오리엔탈", "웨스턴", "젠더리스", "컨트리", "클래식",
    "키치", "톰보이", "펑크", "페미닌", "프레피", "히피", "힙합",
)
# fmt: on
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographed:
    """A label file with its photograph. `partition` is empty where the data set has none."""

    path: Path
    partition: str
    style: str
    picture: Path
    label: Label


@dataclass(frozen=True, slots=True)
class _Folder:
    labels: Path
    pictures: Path
    partition: str
    style: str


@dataclass(frozen=True, slots=True)
class KFashion:
    """The label files of some styles, read anew at each call."""

    folders: tuple[_Folder, ...]
    looks: tuple[str, ...] = DEFAULT_LOOKS

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that have a folder, in the order of the request."""
        return tuple(dict.fromkeys(folder.style for folder in self.folders))

    def count(self) -> dict[str, int]:
        """Label files by style."""
        counts = dict.fromkeys(self.styles, 0)
        for folder in self.folders:
            counts[folder.style] += len(_label_files(folder.labels))
        return counts

    def photographs(self) -> Iterator[Photographed | Problem]:
        """Every label file with its photograph, or its problem; files in order of their names."""
        for folder in self.folders:
            pictures = _pictures(folder.pictures)
            for path in _label_files(folder.labels):
                yield _read(folder, path, pictures, self.looks)


def load_dataset(
    root: Path, styles: Sequence[str] = DEFAULT_STYLES, looks: Sequence[str] = DEFAULT_LOOKS
) -> KFashion:
    """The label files of these styles under `root`, of both partitions or of none.

    looks: patterns whose one group is the look in the name of a photograph.

    Raises InvalidData: for an unknown style, and when there is no label file, naming the paths where it was
    expected.
    """
    unknown = sorted({nfc(style) for style in styles} - {*STYLES, OTHER_STYLE})
    if unknown:
        raise InvalidData(f"style {unknown[0]} is unknown; the styles are {', '.join(STYLES)}, {OTHER_STYLE}")
    wanted = tuple(dict.fromkeys(nfc(style) for style in styles))
    folders = [
        _Folder(labels, _child(_child(base, PICTURES), style), partition, style)
        for partition, base in _bases(root)
        for style in wanted
        for labels in _matching(_child(base, LABELS), style)
    ]
    dataset = KFashion(
        tuple(sorted(folders, key=lambda folder: wanted.index(folder.style))), tuple(looks or DEFAULT_LOOKS)
    )
    if not folders or not any(dataset.count().values()):
        expected = root / "{Training,Validation}" / LABELS / wanted[0] / "*.json"
        raise InvalidData(
            f"{root}: no label file of {', '.join(wanted)}; expected them at {expected} or "
            f"{root / LABELS / wanted[0] / '*.json'}, photographs at …/{PICTURES}/{wanted[0]}/"
        )
    return dataset


def _read(
    folder: _Folder, path: Path, pictures: dict[str, Path], looks: Sequence[str]
) -> Photographed | Problem:
    try:
        label = read_label(json.loads(path.read_bytes()), folder.style, path.stem, looks)
    except (OSError, ValueError) as error:
        return Problem(path=path, reason="not JSON", detail=type(error).__name__)
    except InvalidData as error:
        return Problem(path=path, reason="not a label", detail=str(error))
    for name in (nfc(path.stem), label.image_name.rpartition(".")[0]):
        if name in pictures:
            return Photographed(
                path=path, partition=folder.partition, style=folder.style, picture=pictures[name], label=label
            )
    return Problem(path=path, reason="no photograph", detail=f"in {folder.pictures}")


def _bases(root: Path) -> list[tuple[str, Path]]:
    """Where label and picture folders may lie, each with its partition."""
    return [("", root), *((name, base) for name in PARTITIONS for base in _matching(root, name))]


def _matching(folder: Path, name: str) -> list[Path]:
    """Folders of that name in any Unicode form."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and nfc(entry.name) == name)


def _child(folder: Path, name: str) -> Path:
    return next(iter(_matching(folder, name)), folder / name)


def _pictures(folder: Path) -> dict[str, Path]:
    """Photographs of a folder by the stem of their names in NFC."""
    if not folder.is_dir():
        return {}
    return {nfc(path.stem): path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def _label_files(folder: Path) -> list[Path]:
    # macOS leaves `._name` beside what it copies.
    return sorted(p for p in folder.iterdir() if p.name.endswith(".json") and not p.name.startswith("._"))
