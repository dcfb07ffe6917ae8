"""Drawn garments whose picture follows from their attributes, with Korean attribute records.

The words are those of K-Fashion. A style is a taste: it says which categories, colours, prints,
materials and details its garments tend to have.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trainer.synthetic.details import DETAILS, Colour, Needle, collar, neck
from trainer.synthetic.fabrics import COLOURS, weave
from trainer.synthetic.outlines import BOTTOMS, DRESSES, OUTERS, SKIRTS, SUITS, TOPS, Cut, cut

Record = dict[str, str | list[str]]
RECORDS_FILE = "garments.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What a style reaches for; repeated words are likelier."""

    categories: tuple[str, ...]
    colours: tuple[str, ...]
    prints: tuple[str, ...]
    materials: tuple[str, ...]
    details: tuple[str, ...]
    silhouettes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """A garment: its number, its attribute record and its picture."""

    number: int
    record: Record
    picture: Image.Image


def _taste(
    categories: str, colours: str, prints: str, materials: str, details: str, silhouettes: str
) -> Taste:
    return Taste(
        categories=tuple(categories.split()),
        colours=tuple(colours.split()),
        prints=tuple(prints.split()),
        materials=tuple(materials.split()),
        details=tuple(details.split()),
        silhouettes=tuple(silhouettes.split()),
    )


STYLES: dict[str, Taste] = {
    "레트로": _taste(
        "청바지 셔츠 드레스 니트웨어 스커트 재킷",
        "브라운 오렌지 옐로우 와인 그린",
        "체크 도트 아가일 무지",
        "코듀로이 데님 니트 트위드",
        "단추 포켓 버클",
        "벨보텀 노멀 와이드",
    ),
    "로맨틱": _taste(
        "드레스 블라우스 스커트 가디건",
        "핑크 화이트 라벤더 베이지",
        "플로럴 도트 무지 하트",
        "레이스 실크 니트",
        "러플 프릴 리본 플리츠",
        "노멀 루즈 타이트",
    ),
    "리조트": _taste(
        "드레스 셔츠 팬츠 점프수트 탑",
        "화이트 스카이블루 민트 오렌지 옐로우",
        "플로럴 스트라이프 무지",
        "린넨 우븐 실크",
        "프린지 슬릿 단추",
        "루즈 와이드 노멀",
    ),
    "스트리트": _taste(
        "후드티 티셔츠 조거팬츠 점퍼 청바지 짚업",
        "블랙 그레이 화이트 레드",
        "레터링 그래픽 카무플라쥬 무지",
        "우븐 데님 패딩",
        "포켓 디스트로이드 지퍼",
        "오버사이즈 루즈 와이드",
    ),
    "클래식": _taste(
        "코트 재킷 팬츠 셔츠 니트웨어 스커트",
        "네이비 베이지 그레이 블랙 화이트",
        "무지 체크 아가일 스트라이프",
        "트위드 우븐 니트",
        "더블브레스티드 싱글브레스티드 단추 포켓",
        "노멀 타이트",
    ),
    "섹시": _taste(
        "브라탑 드레스 스커트 래깅스 탑",
        "블랙 레드 와인 골드",
        "호피 지브라 무지",
        "가죽 레이스 실크",
        "슬릿 스팽글 지퍼",
        "타이트 스키니",
    ),
    "밀리터리": _taste(
        "점퍼 재킷 팬츠 셔츠 조거팬츠",
        "카키 브라운 그린 베이지",
        "카무플라쥬 무지",
        "우븐 데님",
        "포켓 지퍼 버클",
        "노멀 루즈",
    ),
    "프레피": _taste(
        "스커트 가디건 베스트 니트웨어 셔츠 재킷",
        "네이비 와인 화이트 그린 옐로우",
        "체크 아가일 깅엄 스트라이프",
        "니트 트위드 우븐",
        "단추 플리츠 자수 니트꽈베기",
        "노멀 타이트",
    ),
}


def draw_garment(seed: int, number: int, size: int = 160, ground: Colour | None = None) -> Garment:
    """The garment of that number, `size` × `size` pixels; always the same for the same arguments.

    `ground`: the RGB colour that it lies on, by default a pale one drawn with it.
    """
    rng = np.random.default_rng([seed, 4, number])
    record = _wish(rng)
    return Garment(number=number, record=record, picture=draw(record, rng, size, ground))


def write_garments(directory: Path, count: int, seed: int = 42, size: int = 160) -> Path:
    """Draw `count` garments into `directory` and return the path of their records.

    The records are JSON lines `{"item_id", "path", "attributes"}`; `path` is relative to `directory`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        garment = draw_garment(seed, number, size)
        name = f"garment_{number:05d}.png"
        garment.picture.save(directory / name, compress_level=1)
        line = {"item_id": f"garment-{number:05d}", "path": name, "attributes": garment.record}
        lines.append(json.dumps(line, ensure_ascii=False))
    path = directory / RECORDS_FILE
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def draw(
    record: Record, rng: np.random.Generator, size: int = 160, ground: Colour | None = None
) -> Image.Image:
    """An RGB picture of the garment of a record; `rng` decides only what the record leaves open."""
    side = size * 2
    # Drawn in any case, so that a garment is the same on every ground.
    pale = tuple(int(v) for v in rng.integers(218, 250, 3))
    ground = ground or (pale[0], pale[1], pale[2])
    shape = cut(
        word_of(record, "category"),
        word_of(record, "silhouette"),
        word_of(record, "length"),
        word_of(record, "sleeve"),
    )
    cloth = weave(rng, side, word_of(record, "colour"), word_of(record, "print"), word_of(record, "material"))
    picture = Image.new("RGB", (side, side), ground)
    mask = _mask(shape, side)
    _shadow(picture, mask)
    picture.paste(_drape(cloth, mask, rng), mask=mask)
    _sew(picture, shape, record, ground)
    centred = (0, round((0.5 - (shape.shoulder + shape.hem) / 2) * side))
    turned = picture.rotate(
        float(rng.normal(0, 2.5)), Image.Resampling.BILINEAR, translate=centred, fillcolor=ground
    )
    return turned.resize((size, size), Image.Resampling.LANCZOS)


def word_of(record: Record, field: str) -> str:
    """The first word of a field, empty where the record has none."""
    value = record.get(field, "")
    return value if isinstance(value, str) else next(iter(value), "")


def _mask(shape: Cut, side: int) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    for piece in shape.pieces:
        pen.polygon([(x * side, y * side) for x, y in piece], fill=255)
    # Rounds the corners that a needle would round.
    return mask.filter(ImageFilter.GaussianBlur(side * 0.008)).point(lambda v: 255 if v > 127 else 0)


def _shadow(picture: Image.Image, mask: Image.Image) -> None:
    side = picture.width
    soft = ImageChops.offset(mask, side // 60, side // 45).filter(ImageFilter.GaussianBlur(side * 0.02))
    picture.paste((150, 150, 156), mask=soft.point(lambda v: v * 0.45))


def _drape(cloth: Image.Image, mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The cloth with folds and with darker edges."""
    side = cloth.width
    across_W = np.arange(side) / side
    waves = [0.035 * np.sin(across_W * f + rng.uniform(0, 6)) for f in (9.0, 21.0, 43.0)]
    folds_W = np.sum(waves, axis=0)
    edge_HW = np.asarray(mask.filter(ImageFilter.GaussianBlur(side * 0.02))) / 255
    light_HW = (1 + folds_W)[None, :] * (0.62 + 0.4 * np.clip(edge_HW, 0, 1))
    return Image.fromarray(np.clip(np.asarray(cloth) * light_HW[:, :, None], 0, 255).astype(np.uint8))


def _sew(picture: Image.Image, shape: Cut, record: Record, ground: Colour) -> None:
    base = COLOURS.get(word_of(record, "colour"), COLOURS["그레이"])
    bright = sum(base) > 380
    needle = Needle(
        draw=ImageDraw.Draw(picture),
        cut=shape,
        size=picture.width,
        thread=tuple(max(0, round(v * 0.45)) for v in base)
        if bright
        else tuple(min(255, v + 70) for v in base),  # type: ignore[arg-type]
        trim=tuple(round(v * 0.86) for v in base) if bright else tuple(min(255, v + 28) for v in base),  # type: ignore[arg-type]
    )
    neck(needle, word_of(record, "neckline"), ground)
    if shape.opens:
        needle.line((0.5, shape.shoulder), (0.5, shape.hem), width=0.006)
    collar(needle, word_of(record, "collar"))
    for word in record.get("detail", []):
        if word in DETAILS:
            DETAILS[word](needle)


def _wish(rng: np.random.Generator) -> Record:
    """A record in which the words go together as a style would have them."""
    styles = list(STYLES)
    style = styles[int(rng.integers(len(styles)))]
    taste = STYLES[style]
    category = _pick(rng, taste.categories)
    record: Record = {
        "category": category,
        "style": [style, *([_other(rng, styles, style)] if rng.random() < 0.25 else [])],
        "silhouette": _fit(rng, taste, category),
        "material": [_cloth(rng, taste, category)],
        "detail": _notions(rng, taste, category),
        "colour": _pick(rng, taste.colours),
        "print": [_pick(rng, taste.prints)],
        "length": _length(rng, category),
    }
    return record | _tailoring(rng, category)


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _other(rng: np.random.Generator, words: Sequence[str], one: str) -> str:
    return _pick(rng, [word for word in words if word != one])


def _fit(rng: np.random.Generator, taste: Taste, category: str) -> str:
    if category == "래깅스":
        return "스키니"
    fit = _pick(rng, taste.silhouettes)
    return fit if fit != "벨보텀" or category in BOTTOMS else "노멀"


def _cloth(rng: np.random.Generator, taste: Taste, category: str) -> str:
    fixed = {"청바지": "데님", "니트웨어": "니트", "가디건": "니트", "패딩": "패딩"}
    return fixed.get(category) or _pick(rng, taste.materials)


def _notions(rng: np.random.Generator, taste: Taste, category: str) -> list[str]:
    unfit = {
        "플리츠": (*TOPS, *OUTERS, *BOTTOMS, *SUITS),
        "슬릿": (*TOPS, *OUTERS, *BOTTOMS, *SUITS),
        "디스트로이드": (*TOPS, *OUTERS, *SKIRTS, *DRESSES, *SUITS),
        "니트꽈베기": (*BOTTOMS, *SKIRTS, *DRESSES, *SUITS),
        "더블브레스티드": (*BOTTOMS, *SKIRTS),
        "싱글브레스티드": (*BOTTOMS, *SKIRTS),
    }
    words = [word for word in taste.details if category not in unfit.get(word, ())]
    count = min(len(words), int(rng.choice((0, 1, 1, 2))))
    return [words[i] for i in rng.choice(len(words), size=count, replace=False)] if count else []


def _length(rng: np.random.Generator, category: str) -> str:
    if category in TOPS:
        return _pick(rng, ("크롭", "노멀", "노멀", "롱"))
    if category in OUTERS:
        return (
            _pick(rng, ("롱", "하프", "맥시")) if category == "코트" else _pick(rng, ("크롭", "노멀", "하프"))
        )
    if category in BOTTOMS or category in SUITS:
        return _pick(rng, ("하프", "발목", "노멀", "롱"))
    return _pick(rng, ("미니", "니렝스", "미디", "맥시"))


def _tailoring(rng: np.random.Generator, category: str) -> Record:
    """Sleeve, neckline and collar, for what has them."""
    if category in (*BOTTOMS, *SKIRTS):
        return {}
    if category in ("탑", "브라탑", "베스트"):
        return {"sleeve": "민소매", "neckline": _pick(rng, ("유넥", "브이넥", "스퀘어넥"))}
    if category in ("후드티", "짚업"):
        return {"sleeve": "긴팔", "neckline": "후드"}
    if category in ("셔츠", "블라우스"):
        word = _pick(
            rng, ("셔츠칼라", "밴드칼라") if category == "셔츠" else ("피터팬칼라", "세일러칼라", "밴드칼라")
        )
        return {"sleeve": _pick(rng, ("긴팔", "반팔", "7부소매")), "collar": word}
    if category in OUTERS:
        tailored = category in ("코트", "재킷")
        return (
            {"sleeve": "긴팔", "collar": "테일러드칼라"}
            if tailored
            else {"sleeve": "긴팔", "neckline": "브이넥"}
        )
    if category == "니트웨어":
        return {"sleeve": "긴팔", "neckline": _pick(rng, ("터틀넥", "라운드넥", "브이넥"))}
    sleeve = _pick(rng, ("민소매", "캡", "반팔", "긴팔"))
    return {"sleeve": sleeve, "neckline": _pick(rng, ("라운드넥", "브이넥", "스퀘어넥", "보트넥"))}
