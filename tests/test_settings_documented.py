"""docs/settings.md names every setting of every service, and none that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from services.embedder.settings import EmbedderSettings
from services.ranker.settings import RankerSettings
from services.recommender.settings import RecommenderSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
OF_CLIENTS = {"ATELIER_RANKER_ADDRESS", "ATELIER_RECOMMENDER_ADDRESS"}


def variables(kind: type[BaseModel], prefix: str = "ATELIER_") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from variables(nested, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


def test_the_page_and_the_classes_agree() -> None:
    """Each variable stands in the page, and each variable of the page exists."""
    known = {
        name for kind in (EmbedderSettings, RankerSettings, RecommenderSettings) for name in variables(kind)
    }
    written = set(re.findall(r"`(ATELIER_[A-Z_]+)`", PAGE.read_text()))

    assert written - OF_CLIENTS == known
