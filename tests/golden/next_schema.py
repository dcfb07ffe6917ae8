"""The store's files as a next release would have them: schema version 2, a field more in each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pytest
from pydantic import Field

from model_store import aliases, manifest, store
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest, VectorPreprocessing
from model_store.schema import Since


class NextImage(ImagePreprocessing):
    sharpen: Annotated[bool, Since(2)] = False


class NextManifest(Manifest):
    preprocessing: Annotated[
        NextImage | AttributePreprocessing | VectorPreprocessing, Field(discriminator="kind")
    ]
    usage: Annotated[str, Since(2)] = ""


class NextAlias(aliases.Alias):
    moved_by: Annotated[str, Since(2)] = ""


@contextmanager
def next_schema() -> Iterator[None]:
    """Within it the store reads and writes as that release does."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (manifest, store):
            patch.setattr(module, "Manifest", NextManifest)
        patch.setattr(aliases, "Alias", NextAlias)
        for module in (manifest, aliases):
            patch.setattr(module, "SCHEMA_VERSION", 2)
        yield
