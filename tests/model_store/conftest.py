"""A store with tiny versions: their files need not be graphs, since the store never reads one."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_store.manifest import Manifest
from model_store.store import Draft, ModelStore


def accept(_directory: Path, _manifest: Manifest) -> None:
    """The validation that refuses nothing."""


def manifest_fields(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "output": "vector_BD",
        "dimension": 4,
        "norm_range": (0.999, 1.001),
        "preprocessing": {"kind": "image", "height": 8, "width": 8},
        "pixel_path": 1,
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": False},
        **changes,
    }


@pytest.fixture
def make_draft(tmp_path: Path) -> Callable[..., Draft]:
    def make(name: str = "fashion-image", graph: bytes = b"graph", **changes: Any) -> Draft:
        folder = tmp_path / "drafts"
        folder.mkdir(exist_ok=True)
        model, golden = folder / "model.onnx", folder / "golden.npz"
        model.write_bytes(graph)
        golden.write_bytes(b"golden")
        return Draft(
            manifest=manifest_fields(name, **changes),
            graph={"model.onnx": model},
            golden={"golden.npz": golden},
            payload={},
        )

    return make


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore.at(tmp_path / "store")
