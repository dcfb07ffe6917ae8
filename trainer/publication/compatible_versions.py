"""Which versions of a frozen model may stand in for the one that something was trained on.

A version in another format or precision has another space. One in another format is accepted only when it
is made of the same weights, sees the same pixels, and gave the same vectors for the golden pictures; one of
fewer bits, and the one that it was made of, when it passed its own gate as it was published.
"""

from collections.abc import Iterator

from model_store.manifest import Manifest
from model_store.store import ModelStore, Version
from trainer.errors import NotFaithful
from trainer.publication.golden_inputs import golden_pictures_of
from trainer.publication.graphs import Format, measure_parity, open_published
from trainer.publication.publish import FIDELITY, PublishTarget
from trainer.publication.stored_versions import readable_versions


def serving_versions(trained_on: Version, target: PublishTarget) -> tuple[Version, ...]:
    """What a model trained on `trained_on` accepts, the version that it serves with first.

    That is `trained_on` itself with what it was derived from or what was derived from it and, when the
    target's format is another, its newest faithful twin in that format before it.
    """
    if trained_on.manifest.format == target.form:
        return (trained_on, *relatives(target.store, trained_on))
    for twin in _twins(target.store, trained_on, target.form):
        try:
            worst = _compare(twin, trained_on)
        except NotFaithful as error:
            target.notify(f"{twin} does not stand in for {trained_on}: {error}")
        else:
            target.notify(f"{twin} stands in for {trained_on}: largest difference {worst:.2g}")
            return (twin, trained_on)
    target.notify(f"{trained_on.name} has no faithful version as {target.form}: served with {trained_on}")
    return (trained_on,)


def relatives(store: ModelStore, trained_on: Version) -> Iterator[Version]:
    """The origin of a version of fewer bits; of any other, the newest faithful of each precision."""
    origin = trained_on.manifest.derived_from
    versions = readable_versions(store, trained_on.name)
    if origin is not None:
        yield from (version for version in versions if version.digest == origin.digest)
        return
    known = set()
    for version in versions:
        manifest, parent = version.manifest, version.manifest.derived_from
        derived = parent is not None and parent.digest == trained_on.digest
        if derived and FIDELITY in manifest.metrics and manifest.precision not in known:
            known.add(manifest.precision)
            yield version


def _twins(store: ModelStore, trained_on: Version, form: Format) -> list[Version]:
    """The versions in a format that are made of the same weights for the same pixels, newest first."""
    if "weights_sha256" not in trained_on.manifest.metrics:
        return []
    return [
        version
        for version in readable_versions(store, trained_on.name)
        if version.manifest.format == form and _origin(version.manifest) == _origin(trained_on.manifest)
    ]


def _origin(manifest: Manifest) -> tuple[object, ...]:
    weights = manifest.metrics.get("weights_sha256")
    return weights, manifest.preprocessing, manifest.pixel_path, manifest.pooling, manifest.precision


def _compare(twin: Version, trained_on: Version) -> float:
    """The largest difference over the golden pictures. Raises NotFaithful: when it is above the tolerance."""
    pictures = golden_pictures_of(trained_on)
    sessions = (open_published(version) for version in (twin, trained_on))
    outputs, expected = (session.run({session.inputs[0].name: pictures}) for session in sessions)
    return max(measure_parity([(outputs, expected)]).values())
