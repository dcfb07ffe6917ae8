"""A published version for messages that name one."""

from datetime import UTC, datetime

import pytest

from model_store.store import Draft, ModelStore, Version

DIMENSION = 3


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A version with a space of three dimensions; its graph is never loaded."""
    root = tmp_path_factory.mktemp("messages")
    path = root / "model.onnx"
    path.write_bytes(b"never loaded here")
    manifest = {
        "name": "artwork-backbone",
        "output": "feature_BD",
        "dimension": DIMENSION,
        "norm_range": (0.0, 100.0),
        "preprocessing": {"kind": "image", "height": 8, "width": 8},
        "pixel_path": 1,
        "accepts": ("b" * 64,),
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": True},
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={}, payload={})
    return ModelStore.at(root / "models").publish(draft, lambda _folder, _manifest: None)
