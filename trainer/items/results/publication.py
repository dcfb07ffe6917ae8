"""Item vectors into the model store, as a version of kind `vectors` (I-6, M-1, M-2)."""

from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from model_store.durable import hash_file
from model_store.item_vectors import LAYOUT, PAYLOAD, PIPELINE_FILE, check_item_vectors
from model_store.manifest import Provenance
from model_store.store import Draft, Version
from trainer.items.features.pipeline import FittedPipeline
from trainer.publication.publish import UNIT_NORM, Published, PublishTarget, provenance_of, set_alias
from trainer.publication.stored_versions import is_whole, readable_versions

MODEL = "items"
OUTPUT = "vector_ND"
_TOOLS = ("numpy", "pandas", "pyarrow", "scikit-learn", "hnswlib")


def describe_origin(data_version: str, snapshot_id: str, seed: int) -> Provenance:
    """Where a version of item vectors comes from."""
    source = provenance_of(
        "table of item features",
        trained=True,
        data_version=data_version,
        seed=seed,
        notes=(f"data snapshot {snapshot_id}",),
    )
    return source.model_copy(update={"tools": {name: installed(name) for name in _TOOLS}})


def publish_items(
    folder: Path, source: Provenance, metrics: Mapping[str, Any], target: PublishTarget
) -> Published:
    """Publish the files in `folder`, or find the version that holds the same, and set its alias.

    Raises CorruptVersion: when the files do not fit each other; nothing of them is visible then.
    """
    with target.store.publishing(MODEL):
        version = _find_equal(folder, source, target)
        fresh = version is None
        if version is None:
            version = target.store.publish(_draft(folder, source, metrics), check_item_vectors)
    alias = set_alias(target.store, version, target.alias)
    target.notify(f"{version} {'published' if fresh else 'already there, equal'}; {MODEL}@{alias} means it")
    return Published(version=version, alias=alias, fresh=fresh)


def _draft(folder: Path, source: Provenance, metrics: Mapping[str, Any]) -> Draft:
    dimension = FittedPipeline.load(folder / PIPELINE_FILE).dimension
    fields = {
        "name": MODEL,
        "kind": "vectors",
        "format": "none",
        "outputs": [{"name": OUTPUT, "dtype": "float32", "shape": ("items", dimension)}],
        "output": OUTPUT,
        "dimension": dimension,
        "norm_range": UNIT_NORM,
        "preprocessing": {"kind": "vector", "dimension": dimension},
        "metrics": {"layout": LAYOUT, **metrics},
        "provenance": source,
    }
    return Draft(
        manifest=fields,
        graph={PIPELINE_FILE: folder / PIPELINE_FILE},
        golden={},
        payload={name: folder / name for name in PAYLOAD},
    )


def _find_equal(folder: Path, source: Provenance, target: PublishTarget) -> Version | None:
    """The newest whole version of the same files, made of the same data."""
    hashes = {name: hash_file(folder / name) for name in (PIPELINE_FILE, *PAYLOAD)}
    for version in readable_versions(target.store, MODEL):
        manifest = version.manifest
        same = {name: entry.sha256 for name, entry in manifest.files.items()} == hashes
        if (
            same
            and manifest.provenance.data_version == source.data_version
            and is_whole(target.store, version)
        ):
            return version
    return None
