"""The contract that front ends read (D-1)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from dashboard.document import (
    SCHEMA_VERSION,
    AugmentedSample,
    CategorySearches,
    DashboardDocument,
    ItemCounts,
    KeyFigures,
    LossCurve,
    RunHeader,
    SearchExample,
    SearchMatch,
    SearchQuery,
    TopImages,
    dashboard_schema,
)
from dashboard.schema_file import SCHEMA_FILE, schema_text

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def document() -> DashboardDocument:
    """A small document that names four pictures."""
    query = SearchQuery(label="a", image="results/dashboard/q.webp")
    match = SearchMatch(item_id="1", image="results/dashboard/m.webp", score=0.5)
    return DashboardDocument(
        run=RunHeader(kind="fashion", state="running", started_at=NOW, updated_at=NOW, epoch=1, max_epochs=2),
        kpi=KeyFigures(counts=ItemCounts(items=3), epoch=1, max_epochs=2, progress=0.5),
        loss_curve=LossCurve(epochs=[1], series={"train_loss": [float("nan")]}),
        top_k_images=TopImages(
            categories=[
                CategorySearches(category="레트로", queries=[SearchExample(query=query, results=[match])])
            ]
        ),
        augmented_samples=[
            AugmentedSample(image="results/dashboard/v.webp", original_image="results/dashboard/o.webp")
        ],
    )


def test_the_committed_schema_is_fresh() -> None:
    """`docs/dashboard.schema.json` is what the types say; `make api` writes it. (D-1)"""
    root = Path(__file__).resolve().parents[2]

    assert (root / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text(), "run `make api`"


def test_the_five_parts_have_their_names() -> None:
    """A document holds the five parts that front ends know, its run and its version. (D-1)"""
    body = json.loads(document().model_dump_json())

    assert set(body) == {
        "schema_version", "run", "kpi", "loss_curve", "top_k_images", "hyperparams", "augmented_samples",
    }  # fmt: skip
    assert set(dashboard_schema()["properties"]) == set(body)
    assert body["schema_version"] == SCHEMA_VERSION


def test_what_is_no_number_is_null() -> None:
    """A loss that does not exist is null in JSON, and is read back as missing."""
    text = document().model_dump_json()

    assert json.loads(text)["loss_curve"]["series"] == {"train_loss": [None]}
    assert DashboardDocument.model_validate_json(text).loss_curve.series == {"train_loss": [None]}


def test_a_document_lists_its_pictures() -> None:
    """Pictures of searches and of augmentation are all named, missing ones are not."""
    names = {Path(name).stem for name in document().pictures()}

    assert names == {"q", "m", "v", "o"}


@pytest.mark.parametrize("change", [{"schema_version": SCHEMA_VERSION + 1}, {"added": 1}])
def test_another_schema_is_refused(change: dict[str, int]) -> None:
    """A document of a newer version, or with a field that this one lacks, is not taken. (S-10)"""
    body = json.loads(document().model_dump_json()) | change

    with pytest.raises(ValidationError):
        DashboardDocument.model_validate(body)
