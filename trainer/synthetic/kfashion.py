"""Drawn garments in the form of K-Fashion: photographs and label files, with the oddities of the real set.

Polygon keys are out of order, empty parts are a list of one empty mapping, some garments have a colour and
nothing else, names are partly decomposed (NFD) or spelt otherwise, rectangles have no area or disagree with
the polygon, photographs of one look share a name, and a photograph may show several garments.
"""

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFilter

from trainer.fashion.data.kfashion import LABELS, PICTURES
from trainer.fashion.data.kfashion_label import MULTIPLE, SINGLE
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.outlines import BOTTOMS, OUTERS, SKIRTS, TOPS
from trainer.synthetic.records import Record

GARMENT_SIDE, LOOK_PHOTOGRAPHS = 160, 2
TRAINING_SHARE = 0.8
# How often each oddity occurs.
SECOND_GARMENT, COLOUR_ONLY, OTHER_SPELLING, DECOMPOSED = 0.35, 0.03, 0.15, 0.3
NO_POLYGON, NO_AREA, OTHER_RECT = 0.06, 0.02, 0.03
KEYS = {field: keys[0] for field, keys in SINGLE.items()} | MULTIPLE
# What the real files write instead of a word of the vocabulary.
SPELLINGS = {
    "노멀": "노말", "홀터넥": "홀토넥", "원숄더": "원 숄더", "테일러드칼라": "테일러칼라",
    "하운즈투스": "하운즈\u00a0투스", "하트": "♥",
}  # fmt: skip
# The set that published figures are measured on: 1,600 photographs, more than 2,000 garments. Its digest was
# fixed before the figures were taken.
DEFAULT_PHOTOGRAPHS, DEFAULT_SEED = 1_600, 42
DEFAULT_LABELS_SHA256 = "5582a326572968ec8b7df0fdda3b6e4632c8b58002c43e706376356a48a3b19b"
PARTS = ("아우터", "하의", "원피스", "상의")


def write_kfashion(root: Path, photographs: int, seed: int = 42) -> Path:
    """Write photographs with their label files under `root`, four fifths as Training, and return `root`.

    A look is two photographs that lie under one style.
    """
    for number in range(photographs):
        # Both photographs of a look draw the same style and partition.
        look = number // LOOK_PHOTOGRAPHS
        rng, own = (np.random.default_rng([seed, kind, n]) for kind, n in ((11, look), (12, number)))
        partition = "Training" if rng.random() < TRAINING_SHARE else "Validation"
        garments = [draw_garment(seed, number * 2, GARMENT_SIDE)]
        if own.random() < SECOND_GARMENT:
            garments.append(draw_garment(seed, number * 2 + 1, GARMENT_SIDE))
        style = str(draw_garment(seed, look * LOOK_PHOTOGRAPHS * 2, 32).record["style"][0])
        picture, places = _arrange([garment.picture for garment in garments], own)
        name = f"SHOP_{look:03d}_{number % LOOK_PHOTOGRAPHS + 1:02d}.jpg"
        label = _label(number, name, picture.size, style, own)
        for garment, place in zip(garments, places, strict=True):
            _add(label, garment.record, place, own)
        _write(root / partition, style, number, picture, label, own)
    return root


def digest_labels(root: Path) -> str:
    """sha256, hexadecimal, of all label files in the order of their paths: which set this is."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.json")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _arrange(
    pictures: list[Image.Image], rng: np.random.Generator
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """The garments below one another on one ground, and the box of each."""
    margin = int(rng.integers(8, 24))
    width = max(picture.width for picture in pictures) + 2 * margin
    height = sum(picture.height + margin for picture in pictures) + margin
    shade = tuple(int(n) for n in rng.integers(150, 245, 3))
    ground = Image.new("RGB", (width, height), shade).filter(ImageFilter.GaussianBlur(2))
    boxes, top = [], margin
    for picture in pictures:
        left = int(rng.integers(margin // 2, width - picture.width - margin // 2))
        ground.paste(picture.convert("RGB"), (left, top))
        boxes.append((left, top, left + picture.width, top + picture.height))
        top += picture.height + margin
    return ground, boxes


def _label(
    number: int, name: str, size: tuple[int, int], style: str, rng: np.random.Generator
) -> dict[str, Any]:
    styles = [{"스타일": style}] if rng.random() < 0.9 else [{}]
    return {
        "이미지 정보": {
            "이미지 식별자": number, "이미지 높이": size[1], "이미지 파일명": name, "이미지 너비": size[0],
        },
        "데이터셋 정보": {
            "파일 생성일자": "2020-09-01 10:00:00",
            "파일 번호": number,
            "파일 이름": name,
            "데이터셋 상세설명": {
                "렉트좌표": _empty_parts(),
                "폴리곤좌표": _empty_parts(),
                "라벨링": {"스타일": styles, **_empty_parts()},
            },
        },
    }  # fmt: skip


def _empty_parts() -> dict[str, list[dict[str, Any]]]:
    return {part: [{}] for part in PARTS}


def _add(
    label: Mapping[str, Any], record: Record, box: tuple[int, int, int, int], rng: np.random.Generator
) -> None:
    details = label["데이터셋 정보"]["데이터셋 상세설명"]
    part = _part(str(record["category"]))
    chance = rng.random()
    polygon = {} if chance < NO_POLYGON + NO_AREA else _polygon(box, rng)
    rect = _rect(box, polygon)
    if chance < NO_AREA:
        rect["가로"] = 0
    elif polygon and rng.random() < OTHER_RECT:
        rect["X좌표"] += 25
    attributes = {KEYS[name]: _respelt(value, rng) for name, value in record.items() if name in KEYS}
    if rng.random() < COLOUR_ONLY:
        attributes = {"색상": attributes["색상"]}
    for lists, entry in (("라벨링", attributes), ("폴리곤좌표", polygon), ("렉트좌표", rect)):
        listed = details[lists][part]
        if listed == [{}]:
            listed.clear()
        listed.append(entry)


def _polygon(box: tuple[int, int, int, int], rng: np.random.Generator) -> dict[str, float]:
    """Eight points around a box that touch each of its sides, keys in any order."""
    left, top, right, bottom = box
    angle_P = np.arange(8) * math.pi / 4
    across_P, down_P = np.clip(1.42 * np.cos(angle_P), -1, 1), np.clip(1.42 * np.sin(angle_P), -1, 1)
    points: dict[str, float] = {}
    for number, (across, down) in enumerate(zip(across_P, down_P, strict=True), start=1):
        points[f"X좌표{number}"] = round((left + right) / 2 + across * (right - left) / 2, 1)
        points[f"Y좌표{number}"] = round((top + bottom) / 2 + down * (bottom - top) / 2, 1)
    keys = list(points)
    return {keys[i]: points[keys[i]] for i in rng.permutation(len(keys))}


def _rect(box: tuple[int, int, int, int], polygon: Mapping[str, float]) -> dict[str, float]:
    xs = [value for key, value in polygon.items() if key.startswith("X")] or [box[0], box[2]]
    ys = [value for key, value in polygon.items() if key.startswith("Y")] or [box[1], box[3]]
    return {
        "X좌표": min(xs) - 0.5,
        "Y좌표": min(ys) - 0.5,
        "가로": math.floor(max(xs) - min(xs)),
        "세로": math.floor(max(ys) - min(ys)),
    }


def _respelt(value: str | list[str], rng: np.random.Generator) -> str | list[str]:
    if isinstance(value, list):
        return [str(_respelt(word, rng)) for word in value]
    word = SPELLINGS.get(value, value) if rng.random() < OTHER_SPELLING else value
    return unicodedata.normalize("NFD", word) if rng.random() < DECOMPOSED else word


def _part(category: str) -> str:
    if category in TOPS:
        return "상의"
    if category in BOTTOMS or category in SKIRTS:
        return "하의"
    return "아우터" if category in OUTERS else "원피스"


def _write(
    base: Path,
    style: str,
    number: int,
    picture: Image.Image,
    label: Mapping[str, Any],
    rng: np.random.Generator,
) -> None:
    """The photograph and its label; folders of Validation have names as macOS copies them."""
    form: Literal["NFC", "NFD"] = "NFD" if base.name == "Validation" else "NFC"
    labels, pictures = (base / unicodedata.normalize(form, f"{kind}/{style}") for kind in (LABELS, PICTURES))
    stem = str(number) if rng.random() < 0.9 else f"({number})IMG_1"
    for folder in (labels, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    picture.save(pictures / f"{stem}.jpg", quality=92)
    (labels / f"{stem}.json").write_text(json.dumps(label, ensure_ascii=False), encoding="utf-8")
