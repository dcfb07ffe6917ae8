"""Copies versions between stores: the same files and meaning, a new number in the target."""

from pathlib import Path

from model_store.manifest import Provenance, VersionReference
from model_store.store import Draft, ModelStore, Validate, Version


def copy_version(
    version: Version, target: ModelStore, validate: Validate, *, with_origin: bool = True
) -> Version:
    """The version in `target`: its copy if there is one already, or else a copy published with all checks.

    What it was derived from or composed of is copied first. with_origin: copy the origin of a derived
    version too; if False, the copy names its origin in its provenance alone. No alias moves.
    Raises CorruptVersion: if a file differs from what was published.
    Raises NotInStore: if a version that it names is gone.
    """
    source = ModelStore(version.storage)
    source.verify(version)
    manifest, derived_from = version.manifest, version.manifest.derived_from
    provenance = manifest.provenance
    if derived_from is not None and not with_origin:
        left = f"derived from {derived_from.name} {derived_from.digest}, which was not copied"
        provenance, derived_from = provenance.model_copy(update={"notes": (*provenance.notes, left)}), None
    present = _find_copy(version, provenance, target)
    if present is not None:
        return present

    def moved(reference: VersionReference) -> VersionReference:
        copy = copy_version(source.open(reference.name, reference.version), target, validate)
        return VersionReference(name=copy.name, version=copy.number, digest=copy.digest)

    fields = manifest.model_dump(exclude={"files"})
    fields["provenance"] = provenance.model_dump()
    fields["derived_from"] = None if derived_from is None else moved(derived_from)
    fields["composed_of"] = tuple(moved(part) for part in manifest.composed_of)
    graph, golden, payload = (_paths(version, role) for role in ("graph", "golden", "payload"))
    draft = Draft(manifest=fields, graph=graph, golden=golden, payload=payload)
    with target.publishing(version.name):
        return _find_copy(version, provenance, target) or target.publish(draft, validate)


def _find_copy(version: Version, provenance: Provenance, target: ModelStore) -> Version | None:
    """The newest readable version of the target with the same files and this provenance; None without any."""
    if version.name not in target.names():
        return None
    copies = [
        candidate
        for candidate in target.readable(version.name)
        if candidate.manifest.files == version.manifest.files and candidate.manifest.provenance == provenance
    ]
    return copies[-1] if copies else None


def _paths(version: Version, role: str) -> dict[str, Path]:
    files = version.manifest.files.items()
    return {file: version.path(file) for file, entry in files if entry.role == role}
