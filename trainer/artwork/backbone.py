"""The frozen backbone of artwork heads: published from weights, or a version of the store (A-5)."""

from collections.abc import Sequence
from pathlib import Path

from inference.pixels import PIXEL_PATH
from model_store.aliases import PRODUCTION
from model_store.errors import NoStore
from model_store.manifest import ImagePreprocessing
from model_store.store import ModelStore, Version
from trainer.artwork.config import BackboneSettings
from trainer.backbones.dinov2 import DINOv2, DINOv2Features, load_dinov2
from trainer.backbones.weights import weights_digest
from trainer.errors import InvalidConfig
from trainer.publication.frozen import publish_frozen
from trainer.publication.golden_inputs import golden_pictures
from trainer.publication.graphs import make_proven_graph
from trainer.publication.publish import PublishableGraph, Published, PublishTarget, provenance_of
from trainer.publication.signature import Signature
from trainer.publication.stored_versions import is_whole, readable_versions

BACKBONE = "artwork-backbone"
IMAGE, FEATURE = "image_BHWC", "feature_BD"


def choose_backbone(
    name: str, settings: BackboneSettings, target: PublishTarget, changed: Sequence[str] = ()
) -> tuple[Version, BackboneSettings]:
    """The version that `name` means, and the settings that it was made with.

    `name` is MODEL@ALIAS when it has an @ or a model of the store is called so; else a directory with a
    DINOv2 when there is one; else a hub id. Directory and hub id are published with `settings`, once: the
    same weights with the same settings are reused. `changed` names the settings that were asked for.
    Raises StoreError: when the alias means nothing. Raises InvalidConfig: for a version of another model, and
    for settings asked of a version that has its own. Raises BackboneUnavailable: when nothing loads.
    """
    if not name:
        raise InvalidConfig("--backbone is empty: expected MODEL@ALIAS, a directory or a hub id")
    if "@" not in name and name not in _models(target.store):
        version = publish_backbone(settings.model_copy(update={"source": name}), target)
        return version, settings_of(version)
    model, _, alias = name.partition("@")
    if model != BACKBONE:
        raise InvalidConfig(f"--backbone {name}: artwork heads stand on {BACKBONE}, not on {model!r}")
    version = target.store.resolve(model, alias or PRODUCTION)
    if changed:
        raise InvalidConfig(
            f"--set {changed[0]}: {version} is published with settings of its own; "
            "they can be set when --backbone is a directory or a hub id"
        )
    return version, settings_of(version)


def export_artwork_backbone(
    settings: BackboneSettings, target: PublishTarget, loaded: DINOv2 | None = None
) -> Published:
    """Publish DINOv2 as `artwork-backbone`: uint8 image_BHWC → feature_BD.

    `loaded` is what is at the settings' source, where it was loaded before.
    Raises BackboneUnavailable: when the backbone does not load. Raises NotFaithful: when the graph differs.
    """
    if loaded is None:
        target.notify(f"loading {settings.source}")
        loaded = load_dinov2(settings.source)
    module = DINOv2Features(
        loaded.model, height=settings.height, width=settings.width, pooling=settings.pooling
    )
    signature = Signature(inputs=(IMAGE,), outputs=(FEATURE,), axes={IMAGE: {0: "batch"}})
    pictures = golden_pictures(settings.height, settings.width)
    target.notify(f"exporting {BACKBONE}")
    graph, parity = make_proven_graph(module, {IMAGE: pictures}, signature, target.form)
    model = PublishableGraph(
        name=BACKBONE,
        graph=graph,
        output=FEATURE,
        golden_inputs={IMAGE: pictures},
        source=provenance_of(**loaded.origin.provenance()),
        fields={
            "preprocessing": ImagePreprocessing(
                height=settings.height, width=settings.width, fit=settings.fit
            ),
            "pooling": settings.pooling,
            "pixel_path": PIXEL_PATH,
            "metrics": {
                "parity": parity,
                "weights_sha256": weights_digest(loaded.model),
                **loaded.origin.metrics(),
            },
        },
    )
    return publish_frozen(model, target)


def settings_of(version: Version) -> BackboneSettings:
    """What a version was made with, for the configuration of a run; a directory by its name alone."""
    manifest = version.manifest
    pixels = manifest.preprocessing
    assert isinstance(pixels, ImagePreprocessing)
    return BackboneSettings(
        source=manifest.provenance.source,
        height=pixels.height,
        width=pixels.width,
        fit=pixels.fit,
        pooling=manifest.pooling or "cls",
    )


def publish_backbone(settings: BackboneSettings, target: PublishTarget) -> Version:
    """The version of these weights with these settings, exported and published where there is none yet.

    Raises BackboneUnavailable: when the backbone does not load. Raises NotFaithful: when the graph differs.
    """
    target.notify(f"loading {settings.source}")
    loaded = load_dinov2(settings.source)
    version = _find_published(loaded, settings, target)
    if version is None:
        return export_artwork_backbone(settings, target, loaded).version
    target.notify(f"{version} already there, same weights and settings")
    return version


def describe_places(name: str, store: ModelStore) -> str:
    """The places where a backbone of this name was looked for, in one line."""
    known = [f"{BACKBONE}@{alias}" for alias in store.aliases.names(BACKBONE)] if _models(store) else []
    has = ", ".join(known) or f"no {BACKBONE}"
    if "@" in name:
        return f"{store.place} has {has}; a directory or a hub id with a DINOv2 is published there first"
    directory = "a directory without a DINOv2" if Path(name).is_dir() else "no directory"
    return f"{store.place} has {has}; {name} is {directory}; else it is a hub id"


def _find_published(loaded: DINOv2, settings: BackboneSettings, target: PublishTarget) -> Version | None:
    """The newest whole version that an export would only make again."""
    digest = weights_digest(loaded.model)
    pixels = ImagePreprocessing(height=settings.height, width=settings.width, fit=settings.fit)
    for version in readable_versions(target.store, BACKBONE):
        manifest = version.manifest
        same = (
            manifest.metrics.get("weights_sha256") == digest
            and manifest.preprocessing == pixels
            and manifest.pooling == settings.pooling
            and manifest.pixel_path == PIXEL_PATH
            and manifest.format == target.form
            and manifest.derived_from is None
            and manifest.provenance.trained == loaded.origin.trained
        )
        if same and is_whole(target.store, version):
            return version
    return None


def _models(store: ModelStore) -> list[str]:
    try:
        return store.names()
    except NoStore:
        return []
