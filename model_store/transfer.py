"""Versions from one store into another: the same files, the same meaning, a number of its own there."""

from pathlib import Path

from model_store.manifest import VersionReference
from model_store.store import Draft, ModelStore, Validate, Version


def copy_version(version: Version, target: ModelStore, validate: Validate) -> Version:
    """The version in `target`: the one that is there already, or a copy of it, published with all checks.

    What it was derived from or composed of is copied before it. No alias moves.
    Raises CorruptVersion: when a file is not what was published.
    Raises NotFound: when a version that it names is gone.
    """
    source = ModelStore(version.storage)
    source.verify(version)
    present = find_copy(version, target)
    if present is not None:
        return present
    manifest = version.manifest

    def moved(reference: VersionReference) -> VersionReference:
        copy = copy_version(source.open(reference.name, reference.version), target, validate)
        return VersionReference(name=copy.name, version=copy.number, digest=copy.digest)

    fields = manifest.model_dump(exclude={"files"})
    fields["derived_from"] = None if manifest.derived_from is None else moved(manifest.derived_from)
    fields["composed_of"] = tuple(moved(part) for part in manifest.composed_of)
    graph, golden, payload = (_paths(version, role) for role in ("graph", "golden", "payload"))
    return target.publish(Draft(manifest=fields, graph=graph, golden=golden, payload=payload), validate)


def find_copy(version: Version, target: ModelStore) -> Version | None:
    """The newest whole version of the target with the same files and provenance; None without one."""
    found = None
    if version.name in target.names():
        for candidate in target.readable(version.name):
            same = candidate.manifest.files == version.manifest.files
            if same and candidate.manifest.provenance == version.manifest.provenance:
                found = candidate
    return found


def _paths(version: Version, role: str) -> dict[str, Path]:
    files = version.manifest.files.items()
    return {file: version.path(file) for file, entry in files if entry.role == role}
