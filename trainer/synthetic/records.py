"""Attribute records of garments, in the words of K-Fashion.

A style says which categories, colours, prints, materials and details its garments tend to have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.synthetic.outlines import BOTTOMS, DRESSES, OUTERS, SKIRTS, SUITS, TOPS

Record = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Style:
    """The words that garments of a style are drawn from; repeated words are likelier."""

    categories: tuple[str, ...]
    colours: tuple[str, ...]
    prints: tuple[str, ...]
    materials: tuple[str, ...]
    details: tuple[str, ...]
    silhouettes: tuple[str, ...]


# Each style by its fields in their order.
STYLES: dict[str, Style] = {
    name: Style(*(tuple(words.split()) for words in row.split("|")))
    for name, row in {
        "레트로": "청바지 셔츠 드레스 니트웨어 스커트 재킷 | 브라운 오렌지 옐로우 와인 그린"
            " | 체크 도트 아가일 무지 | 코듀로이 데님 니트 트위드 | 단추 포켓 버클 | 벨보텀 노멀 와이드",
        "로맨틱": "드레스 블라우스 스커트 가디건 | 핑크 화이트 라벤더 베이지"
            " | 플로럴 도트 무지 하트 | 레이스 실크 니트 | 러플 프릴 리본 플리츠 | 노멀 루즈 타이트",
        "리조트": "드레스 셔츠 팬츠 점프수트 탑 | 화이트 스카이블루 민트 오렌지 옐로우"
            " | 플로럴 스트라이프 무지 | 린넨 우븐 실크 | 프린지 슬릿 단추 | 루즈 와이드 노멀",
        "스트리트": "후드티 티셔츠 조거팬츠 점퍼 청바지 짚업 | 블랙 그레이 화이트 레드"
            " | 레터링 그래픽 카무플라쥬 무지"
            " | 우븐 데님 패딩 | 포켓 디스트로이드 지퍼 | 오버사이즈 루즈 와이드",
        "클래식": "코트 재킷 팬츠 셔츠 니트웨어 스커트 | 네이비 베이지 그레이 블랙 화이트"
            " | 무지 체크 아가일 스트라이프"
            " | 트위드 우븐 니트 | 더블브레스티드 싱글브레스티드 단추 포켓 | 노멀 타이트",
        "섹시": "브라탑 드레스 스커트 래깅스 탑 | 블랙 레드 와인 골드"
            " | 호피 지브라 무지 | 가죽 레이스 실크 | 슬릿 스팽글 지퍼 | 타이트 스키니",
        "밀리터리": "점퍼 재킷 팬츠 셔츠 조거팬츠 | 카키 브라운 그린 베이지"
            " | 카무플라쥬 무지 | 우븐 데님 | 포켓 지퍼 버클 | 노멀 루즈",
        "프레피": "스커트 가디건 베스트 니트웨어 셔츠 재킷 | 네이비 와인 화이트 그린 옐로우"
            " | 체크 아가일 깅엄 스트라이프 | 니트 트위드 우븐 | 단추 플리츠 자수 니트꽈베기 | 노멀 타이트",
    }.items()
}  # fmt: skip


# Materials that a category is always made of, and details that a category never has.
_MATERIALS = {"청바지": "데님", "니트웨어": "니트", "가디건": "니트", "패딩": "패딩"}
_WITHOUT = {
    "플리츠": (*TOPS, *OUTERS, *BOTTOMS, *SUITS),
    "슬릿": (*TOPS, *OUTERS, *BOTTOMS, *SUITS),
    "디스트로이드": (*TOPS, *OUTERS, *SKIRTS, *DRESSES, *SUITS),
    "니트꽈베기": (*BOTTOMS, *SKIRTS, *DRESSES, *SUITS),
    "더블브레스티드": (*BOTTOMS, *SKIRTS),
    "싱글브레스티드": (*BOTTOMS, *SKIRTS),
}


def word_of(record: Record, field: str) -> str:
    """The first word of a field, empty where the record has none."""
    value = record.get(field, "")
    return value if isinstance(value, str) else next(iter(value), "")


def random_record(rng: np.random.Generator) -> Record:
    """A record in which the words go together as a style would have them."""
    name = _pick(rng, tuple(STYLES))
    style = STYLES[name]
    category = _pick(rng, style.categories)
    second = [_pick(rng, [other for other in STYLES if other != name])] if rng.random() < 0.25 else []
    record: Record = {
        "category": category,
        "style": [name, *second],
        "silhouette": _silhouette(rng, style, category),
        "material": [_MATERIALS.get(category) or _pick(rng, style.materials)],
        "detail": _details(rng, style, category),
        "colour": _pick(rng, style.colours),
        "print": [_pick(rng, style.prints)],
        "length": _length(rng, category),
    }
    return record | _sleeve_and_neck(rng, category)


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _silhouette(rng: np.random.Generator, style: Style, category: str) -> str:
    if category == "래깅스":
        return "스키니"
    silhouette = _pick(rng, style.silhouettes)
    return silhouette if silhouette != "벨보텀" or category in BOTTOMS else "노멀"


def _details(rng: np.random.Generator, style: Style, category: str) -> list[str]:
    words = [word for word in style.details if category not in _WITHOUT.get(word, ())]
    count = min(len(words), int(rng.choice((0, 1, 1, 2))))
    return [words[i] for i in rng.choice(len(words), size=count, replace=False)] if count else []


def _length(rng: np.random.Generator, category: str) -> str:
    if category in TOPS:
        return _pick(rng, ("크롭", "노멀", "노멀", "롱"))
    if category in OUTERS:
        return _pick(rng, ("롱", "하프", "맥시") if category == "코트" else ("크롭", "노멀", "하프"))
    if category in BOTTOMS or category in SUITS:
        return _pick(rng, ("하프", "발목", "노멀", "롱"))
    return _pick(rng, ("미니", "니렝스", "미디", "맥시"))


def _sleeve_and_neck(rng: np.random.Generator, category: str) -> Record:
    """Sleeve, neckline and collar, for what has them."""
    if category in (*BOTTOMS, *SKIRTS):
        return {}
    if category in ("탑", "브라탑", "베스트"):
        return {"sleeve": "민소매", "neckline": _pick(rng, ("유넥", "브이넥", "스퀘어넥"))}
    if category in ("후드티", "짚업"):
        return {"sleeve": "긴팔", "neckline": "후드"}
    if category in ("셔츠", "블라우스"):
        collars = ("셔츠칼라", "밴드칼라") if category == "셔츠" else ("피터팬칼라", "세일러칼라", "밴드칼라")
        collar = _pick(rng, collars)
        return {"sleeve": _pick(rng, ("긴팔", "반팔", "7부소매")), "collar": collar}
    if category in ("코트", "재킷"):
        return {"sleeve": "긴팔", "collar": "테일러드칼라"}
    if category in OUTERS:
        return {"sleeve": "긴팔", "neckline": "브이넥"}
    if category == "니트웨어":
        return {"sleeve": "긴팔", "neckline": _pick(rng, ("터틀넥", "라운드넥", "브이넥"))}
    sleeve = _pick(rng, ("민소매", "캡", "반팔", "긴팔"))
    return {"sleeve": sleeve, "neckline": _pick(rng, ("라운드넥", "브이넥", "스퀘어넥", "보트넥"))}
