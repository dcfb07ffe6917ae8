"""The models that come with Atelier: a model store, read as any other (`model-store/` beside this file)."""

from pathlib import Path

STORE = Path(__file__).parent / "model-store"
