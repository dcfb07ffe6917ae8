from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.recommender.settings import RecommenderSettings


@pytest.mark.parametrize(
    ("text", "collections"),
    [
        ("fashion=fashion-attributes", {"fashion": ("fashion-attributes",)}),
        ("fashion=a|b, items=items", {"fashion": ("a", "b"), "items": ("items",)}),
        ('{"fashion": ["a", "b"], "items": "items"}', {"fashion": ("a", "b"), "items": ("items",)}),
    ],
)
def test_collections_are_read_from_the_environment(monkeypatch, text, collections):
    """Pairs or JSON name per collection the leads that it may follow, the preferred first."""
    monkeypatch.setenv("ATELIER_COLLECTIONS", text)

    assert RecommenderSettings().collections == collections


def test_defaults():
    """Fashion follows the attribute encoder where there is one, else the image model."""
    settings = RecommenderSettings()

    assert settings.collections == {"fashion": ("fashion-attributes", "fashion-image")}
    assert (settings.recommender_port, settings.embedder_address) == (50053, "127.0.0.1:50051")


@pytest.mark.parametrize("text", ["../x=a", "fashion=", "fashion=../x", "{}", "{bad", "fashion"])
def test_hostile_or_empty_names_are_refused(monkeypatch, text):
    """Names become parts of paths, so only strict ones are taken."""
    monkeypatch.setenv("ATELIER_COLLECTIONS", text)

    with pytest.raises(ValidationError):
        RecommenderSettings()


@pytest.mark.parametrize(("text", "hours"), [("3600", 1), ("PT24H", 24), ("P7D", 168), ("0", 0)])
def test_durations_are_seconds_or_iso_8601(monkeypatch, text, hours):
    """A number is seconds; a negative duration is refused (S-13)."""
    monkeypatch.setenv("ATELIER_KEEP_PREVIOUS", text)
    monkeypatch.setenv("ATELIER_LOG_RETENTION", text)

    settings = RecommenderSettings()

    assert settings.keep_previous == settings.log_retention == timedelta(hours=hours)
    monkeypatch.setenv("ATELIER_KEEP_PREVIOUS", "-1")
    with pytest.raises(ValidationError):
        RecommenderSettings()
