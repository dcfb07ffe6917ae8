"""K-Fashion on disk: label files with their photographs, and the garments cut out of them (F-1, F-2).

Names are compared in NFC: copies made on macOS have them decomposed.
"""

import json
import os
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import open_upright
from model_store.durable import replacing
from trainer.errors import InvalidData
from trainer.fashion.data.data_report import Exclusions, Problem
from trainer.fashion.data.labels import OTHER_STYLE, Box, Label, LabelledGarment, numeric_id, read_label
from trainer.loop.progress import Progress

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
QUALITY = 95
LEAST_SIDE = 8
NO_AREA = "no area inside the photograph"
# Photographs in hand at once: enough to keep the cores busy.
_WINDOW = 64

Line = dict[str, Any]


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


class KFashion:
    """The label files of some styles, read anew at each call."""

    def __init__(self, folders: Sequence[_Folder]) -> None:
        self._folders = tuple(folders)

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that have a folder, in the order of the request."""
        return tuple(dict.fromkeys(folder.style for folder in self._folders))

    def count(self) -> dict[str, int]:
        """Label files by style."""
        counts = dict.fromkeys(self.styles, 0)
        for folder in self._folders:
            with os.scandir(folder.labels) as entries:
                counts[folder.style] += sum(_is_label(entry) for entry in entries)
        return counts

    def photographs(self) -> Iterator[Photographed | Problem]:
        """Every label file with its photograph, or its problem; files in order of their names."""
        for folder in self._folders:
            pictures = _pictures(folder.pictures)
            with os.scandir(folder.labels) as entries:
                names = sorted(entry.name for entry in entries if _is_label(entry))
            for name in names:
                yield _read(folder, folder.labels / name, pictures)


def load_dataset(root: Path, styles: Sequence[str] = DEFAULT_STYLES) -> KFashion:
    """The label files of these styles under `root`, of both partitions or of none.

    Raises InvalidData: for an unknown style, and when there is no label file, naming the paths where it was
    expected.
    """
    unknown = sorted({_nfc(style) for style in styles} - {*STYLES, OTHER_STYLE})
    if unknown:
        raise InvalidData(f"style {unknown[0]} is unknown; the styles are {', '.join(STYLES)}, {OTHER_STYLE}")
    wanted = tuple(dict.fromkeys(_nfc(style) for style in styles))
    folders = [
        _Folder(labels, _child(_child(base, PICTURES), style), partition, style)
        for partition, base in _bases(root)
        for style in wanted
        for labels in _matching(_child(base, LABELS), style)
    ]
    dataset = KFashion(sorted(folders, key=lambda folder: wanted.index(folder.style)))
    if not folders or not any(dataset.count().values()):
        expected = root / "{Training,Validation}" / LABELS / wanted[0] / "*.json"
        raise InvalidData(
            f"{root}: no label file of {', '.join(wanted)}; expected them at {expected} or "
            f"{root / LABELS / wanted[0] / '*.json'}, photographs at …/{PICTURES}/{wanted[0]}/"
        )
    return dataset


def _read(folder: _Folder, path: Path, pictures: dict[str, Path]) -> Photographed | Problem:
    try:
        label = read_label(json.loads(path.read_bytes()), folder.style, path.stem)
    except (OSError, ValueError) as error:
        return Problem(path=path, reason="not JSON", detail=type(error).__name__)
    except InvalidData as error:
        return Problem(path=path, reason="not a label", detail=str(error))
    for name in (_nfc(path.stem), label.image_name.rpartition(".")[0]):
        if name in pictures:
            return Photographed(
                path=path,
                partition=folder.partition,
                style=folder.style,
                picture=pictures[name],
                label=label,
            )
    return Problem(path=path, reason="no photograph", detail=f"in {folder.pictures}")


def _bases(root: Path) -> list[tuple[str, Path]]:
    """Where label and picture folders may lie, each with its partition."""
    return [("", root), *((name, base) for name in PARTITIONS for base in _matching(root, name))]


def _matching(folder: Path, name: str) -> list[Path]:
    """Folders of that name in any Unicode form."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and _nfc(entry.name) == name)


def _child(folder: Path, name: str) -> Path:
    return next(iter(_matching(folder, name)), folder / name)


def _pictures(folder: Path) -> dict[str, Path]:
    """Photographs of a folder by the stem of their names in NFC."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)]
    return {_nfc(name.rpartition(".")[0]): folder / name for name in sorted(names)}


def _is_label(entry: "os.DirEntry[str]") -> bool:
    # macOS leaves `._name` beside what it copies.
    return entry.name.endswith(".json") and not entry.name.startswith("._")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A crop to write: a box of a photograph, and its file."""

    box: Box
    out: Path


def cut_garments(
    dataset: KFashion, schema: AttributeSchema, pictures: Path, exclusions: Exclusions, progress: Progress
) -> Iterator[Line]:
    """Write a crop of every garment below `pictures` and yield its record.

    Garments and files that cannot be used are counted in `exclusions`.
    """
    photographs, done, total = dataset.photographs(), 0, sum(dataset.count().values())
    # Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while window := list(islice(photographs, _WINDOW)):
            for results in pool.map(lambda one: _garments(one, schema, pictures), window):
                for result in results:
                    if isinstance(result, Problem):
                        exclusions.add(result)
                    else:
                        exclusions.noted.update(result.pop("noted"))
                        yield result
            done += len(window)
            progress("cutting garments", done, total)


def _garments(
    photographed: Photographed | Problem, schema: AttributeSchema, pictures: Path
) -> list[Line | Problem]:
    """The records of a photograph, or for each garment why it has none."""
    if isinstance(photographed, Problem):
        return [photographed]
    label, path = photographed.label, photographed.path
    results: list[Line | Problem] = []
    crops: list[tuple[LabelledGarment, Crop]] = []
    for garment in label.garments:
        name = f"{path.stem}-{garment.part}-{garment.place}"
        if not garment.attributes:
            results.append(Problem(path=path, reason="no attributes", detail=name))
        elif garment.box is None:
            results.append(Problem(path=path, reason="no polygon and no rectangle", detail=name))
        else:
            out = pictures / photographed.partition / photographed.style / f"{file_name(name)}.jpg"
            crops.append((garment, Crop(box=garment.box, out=out)))
    try:
        faults = cut_photograph(
            photographed.picture, tuple(crop for _, crop in crops), (label.width, label.height)
        )
    except InvalidImage as error:
        problem = Problem(path=photographed.picture, reason="photograph not readable", detail=str(error))
        return [*results, problem]
    for (garment, crop), fault in zip(crops, faults, strict=True):
        if fault:
            results.append(Problem(path=path, reason=fault, detail=crop.out.stem))
        else:
            results.append(_record(photographed, garment, crop.out.relative_to(pictures.parent), schema))
    return results


def _record(
    photographed: Photographed, garment: LabelledGarment, path: Path, schema: AttributeSchema
) -> Line | Problem:
    try:
        attributes = schema.normalise(dict(garment.attributes), unknown="drop")
    except InvalidAttributes as error:
        return Problem(path=photographed.path, reason="attributes not readable", detail=str(error))
    lists = {field.name for field in schema.fields if field.multiple}
    noted = [] if garment.from_polygon else ["box of the rectangle: no polygon"]
    return {
        "item_id": "/".join(path.with_suffix("").parts[1:]),
        "path": str(path),
        "attributes": {n: list(w) if n in lists else w[0] for n, w in attributes.items() if w},
        "group": photographed.label.look,
        "style_folder": photographed.style,
        "number": numeric_id(photographed.path.name),
        "noted": noted + (["rectangle disagrees with polygon"] if garment.rect_disagrees else []),
    }


def cut_photograph(picture: Path, crops: tuple[Crop, ...], stated: tuple[int, int]) -> tuple[str, ...]:
    """Write the crops of a photograph; for each, "" or why there is none.

    `stated`: width and height that the boxes are in; those of a photograph that was scaled are scaled along.
    A crop that exists is kept. Raises InvalidImage: when the photograph cannot be read.
    """
    missing = [crop for crop in crops if not crop.out.exists()]
    if not missing:
        return ("",) * len(crops)
    try:
        photograph = open_upright(picture.read_bytes()).convert("RGB")
    except OSError as error:
        raise InvalidImage(f"not readable ({type(error).__name__})") from error
    return tuple(_cut(photograph, crop, stated) if crop in missing else "" for crop in crops)


def _cut(photograph: Image.Image, crop: Crop, stated: tuple[int, int]) -> str:
    across = photograph.width / stated[0] if stated[0] > 0 else 1.0
    down = photograph.height / stated[1] if stated[1] > 0 else 1.0
    box = crop.box
    scaled = Box(box.left * across, box.top * down, box.right * across, box.bottom * down)
    inside = scaled.clamped(photograph.width, photograph.height)
    left, top, right, bottom = map(round, (inside.left, inside.top, inside.right, inside.bottom))
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return NO_AREA
    # A crop can be cut again: it need not survive a power failure.
    with replacing(crop.out, sync=False) as temporary:
        photograph.crop((left, top, right, bottom)).save(temporary, "JPEG", quality=QUALITY)
    return ""


def file_name(name: str) -> str:
    """A name without characters that a path or a shell treats in a special way."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).strip(".")
