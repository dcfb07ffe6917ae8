"""The artwork head into the store, by itself and with its backbone as one graph (A-7, A-8)."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inference.pixels import PIXEL_PATH
from inference.signature import graph_file
from model_store.errors import NotInStore
from model_store.manifest import Calibration, Provenance, VectorPreprocessing
from model_store.store import ModelStore, Version
from trainer.artwork.backbone import BACKBONE, FEATURE, IMAGE
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.head_checkpoint import fresh_judge, open_head
from trainer.errors import NotFaithful
from trainer.publication.compatible_versions import relatives, serving_versions
from trainer.publication.golden_inputs import golden_pictures_of
from trainer.publication.graphs import (
    PARITY_BATCHES,
    Graph,
    compose,
    make_proven_graph,
    measure_parity,
    open_published,
    opened,
    run_rows,
)
from trainer.publication.publish import PublishableGraph, Published, PublishTarget, provenance_of, publish
from trainer.publication.signature import Signature
from trainer.publication.stored_versions import find_version, reference, trained_against
from trainer.publication.torchscript import chain

HEAD, ENCODER = "artwork-head", "artwork-encoder"
JUDGED = ("embedding_BD", "score_B", "uncertainty_B")
EMBEDDING = JUDGED[0]


def export_artwork_head(
    config: ArtworkConfig,
    target: PublishTarget,
    *,
    checkpoint: Path | None = None,
    backbone: Version | None = None,
) -> Published:
    """Publish projector and score head as `artwork-head`: feature_BD → embedding_BD, score_B,
    uncertainty_B.

    Without a checkpoint the weights are random and the version is called untrained; it accepts `backbone`,
    by default `artwork-backbone@production`. A checkpoint names its own backbone; in another format the head
    accepts the backbone's twin too, once it gave the same features.
    Raises InvalidCheckpoint: when the store has no backbone of the space that it was trained on.
    """
    if checkpoint is None:
        backbone = backbone or target.store.resolve(BACKBONE)
        accepted: tuple[Version, ...] = (backbone, *relatives(target.store, backbone))
        module, calibration = fresh_judge(config, backbone.manifest.dimension), Calibration()
        source = provenance_of("random initialisation", trained=False, seed=config.training.seed)
    else:
        trained = open_head(checkpoint)
        body = trained.body
        accepted = serving_versions(
            trained_against(target.store, BACKBONE, body["space_id"], checkpoint), target
        )
        backbone = accepted[0]
        module, calibration, source = trained.judge, trained.calibration, _trained(body)
    features = _golden_features(backbone)
    signature = Signature(inputs=(FEATURE,), outputs=JUDGED, axes={FEATURE: {0: "batch"}})
    target.notify(f"exporting {HEAD}")
    graph, parity = make_proven_graph(module, {FEATURE: features}, signature, target.form)
    model = PublishableGraph(
        name=HEAD,
        graph=graph,
        output=EMBEDDING,
        golden_inputs={FEATURE: features},
        source=source,
        fields={
            "preprocessing": VectorPreprocessing(dimension=backbone.manifest.dimension),
            "accepts": tuple(version.space_id for version in accepted),
            "calibration": calibration,
            "metrics": {"parity": parity} | ({} if checkpoint is None else dict(body["metrics"])),
        },
    )
    return publish(model, target)


def backbone_of(store: ModelStore, head: Version) -> Version:
    """The backbone that a head serves with. Raises NotInStore: when the store has it no more."""
    space_id = head.manifest.accepts[0]
    backbone = find_version(store, BACKBONE, space_id)
    if backbone is None:
        raise NotInStore(
            f"{head} stands on the space {space_id[:12]}, and no {BACKBONE} of that space is left"
        )
    return backbone


def export_artwork_encoder(backbone: Version, head: Version, target: PublishTarget) -> Published:
    """Publish both as one graph, `artwork-encoder`, composed from the two files and equal to their chain.

    Raises NotFaithful: when the composed graph gives something else than the chain.
    """
    target.notify(f"composing {ENCODER}")
    pictures = golden_pictures_of(backbone)
    graph = _joined(backbone, head, pictures[:2])
    first, second = (open_published(version) for version in (backbone, head))
    with opened(graph) as session:
        pairs = [
            (session.run({IMAGE: batch}), second.run({FEATURE: first.run({IMAGE: batch})[FEATURE]}))
            for batch in (pictures[:count] for count in PARITY_BATCHES)
        ]
    trained = backbone.manifest.provenance.trained and head.manifest.provenance.trained
    model = PublishableGraph(
        name=ENCODER,
        graph=graph,
        output=EMBEDDING,
        golden_inputs={IMAGE: pictures},
        source=provenance_of(
            f"{backbone} + {head}",
            trained=trained,
            licence=backbone.manifest.provenance.licence,
            data_version=head.manifest.provenance.data_version,
            seed=head.manifest.provenance.seed,
            wandb_run=head.manifest.provenance.wandb_run,
        ),
        fields={
            "preprocessing": backbone.manifest.preprocessing,
            "precision": backbone.manifest.precision,
            "pooling": backbone.manifest.pooling,
            "pixel_path": PIXEL_PATH,
            "composed_of": (reference(backbone), reference(head)),
            "calibration": head.manifest.calibration,
            "metrics": {"parity_with_chain": measure_parity(pairs)},
        },
    )
    return publish(model, target)


def _joined(backbone: Version, head: Version, image_BHWC: np.ndarray) -> Graph:
    """Both graphs as one, of their own format."""
    first, second = (version.path(graph_file(version.manifest)) for version in (backbone, head))
    if first.suffix != second.suffix:
        raise NotFaithful(f"{first.name} and {second.name} have two formats and cannot make one graph")
    if first.suffix == ".onnx":
        return compose(onnx.load(first), onnx.load(second), FEATURE)
    signature = Signature(inputs=(IMAGE,), outputs=JUDGED, axes={IMAGE: {0: "batch"}})
    return chain(first, second, {IMAGE: image_BHWC}, signature)


def _trained(body: dict[str, Any]) -> Provenance:
    others = len(body.get("members", ()))
    note = f"epoch {body['epoch']}" + (f" and {others} more, judging together" if others else "")
    return provenance_of(
        "trainer.artwork.train",
        trained=True,
        **{name: body[name] for name in ("data_version", "seed", "wandb_run")},
        notes=(note,),
    )


def _golden_features(backbone: Version) -> np.ndarray:
    """Features that the backbone gives for its golden pictures, and as many drawn around them."""
    real = run_rows(open_published(backbone), {IMAGE: golden_pictures_of(backbone)})[FEATURE]
    rng = np.random.default_rng(0)
    drawn = real + rng.normal(0, 0.5, real.shape) * real.std()
    return np.concatenate((real, drawn)).astype(np.float32)
