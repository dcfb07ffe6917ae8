"""What a shop would call a drawn garment: the labels of photographs for the words of K-Fashion."""

from trainer.synthetic.garments import Record

_BY_CATEGORY = {
    "셔츠": "Shirt",
    "블라우스": "Shirt",
    "드레스": "Dress",
    "스커트": "Skirt",
    "니트웨어": "Longsleeve",
    "후드티": "Hoodie",
    "짚업": "Hoodie",
    "코트": "Outwear",
    "점퍼": "Outwear",
    "패딩": "Outwear",
    "재킷": "Blazer",
    "래깅스": "Pants",
    "탑": "Undershirt",
}
_TROUSERS = ("팬츠", "청바지", "조거팬츠")
_BY_SLEEVE = {"민소매": "Undershirt", "긴팔": "Longsleeve"}


def shop_label(record: Record) -> str:
    """The nearest of the labels that the clothing photographs have; empty where none is near."""
    category = str(record["category"])
    if category in _TROUSERS:
        return "Shorts" if record["length"] == "하프" else "Pants"
    if category == "티셔츠":
        return _BY_SLEEVE.get(str(record["sleeve"]), "T-Shirt")
    return _BY_CATEGORY.get(category, "")
