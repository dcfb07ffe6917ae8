"""The artwork models into the store: backbone, head and the two as one graph (A-5 … A-8)."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inference.pixels import PIXEL_PATH
from inference.signature import graph_file
from model_store.errors import NotFound
from model_store.manifest import Calibration, ImagePreprocessing, VectorPreprocessing
from model_store.store import ModelStore, Version
from trainer.artwork.config import ArtworkConfig, BackboneSettings
from trainer.artwork.evaluator import BACKBONE
from trainer.artwork.judges import fresh_judge, open_judge
from trainer.backbones.dinov2 import DINOv2, DINOv2Features, load_dinov2
from trainer.backbones.weights import weights_digest
from trainer.errors import InvalidCheckpoint, NotFaithful
from trainer.publication.compatible_versions import relatives, serving_versions
from trainer.publication.golden_inputs import golden_pictures
from trainer.publication.graphs import (
    PARITY_BATCHES,
    Graph,
    compose,
    make_graph,
    measure_parity,
    open_graph,
    opened,
    prove_parity,
)
from trainer.publication.int8 import publish_frozen
from trainer.publication.publish import Making, Product, Published, Shelf, find_version, publish, reference
from trainer.publication.signature import Signature
from trainer.publication.torchscript import chain

HEAD, ENCODER = "artwork-head", "artwork-encoder"
IMAGE, FEATURE = "image_BHWC", "feature_BD"
JUDGED = ("embedding_BD", "score_B", "uncertainty_B")
EMBEDDING = JUDGED[0]


def export_artwork_backbone(
    settings: BackboneSettings, shelf: Shelf, loaded: DINOv2 | None = None
) -> Published:
    """Publish DINOv2 as `artwork-backbone`: uint8 image_BHWC → feature_BD.

    `loaded` is what is at the settings' source, where it was loaded before.
    Raises BackboneUnavailable: when the backbone does not load. Raises NotFaithful: when the graph differs.
    """
    if loaded is None:
        shelf.tell(f"loading {settings.source}")
        loaded = load_dinov2(settings.source)
    module = DINOv2Features(
        loaded.model, height=settings.height, width=settings.width, pooling=settings.pooling
    )
    signature = Signature(inputs=(IMAGE,), outputs=(FEATURE,), axes={IMAGE: {0: "batch"}})
    pictures = golden_pictures(settings.height, settings.width)
    shelf.tell(f"exporting {BACKBONE}")
    graph = make_graph(module, {IMAGE: pictures[:2]}, signature, shelf.form)
    batches = [{IMAGE: np.resize(pictures, (count, *pictures.shape[1:]))} for count in PARITY_BATCHES]
    parity = prove_parity(module, graph, batches, signature)
    product = Product(
        name=BACKBONE,
        graph=graph,
        output=FEATURE,
        golden_inputs={IMAGE: pictures},
        making=Making(**loaded.origin.making()),
        about={
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
    return publish_frozen(product, shelf)


def export_artwork_head(
    config: ArtworkConfig, shelf: Shelf, *, checkpoint: Path | None = None, backbone: Version | None = None
) -> Published:
    """Publish projector and score head as `artwork-head`: feature_BD → embedding_BD, score_B,
    uncertainty_B.

    Without a checkpoint the weights are random and the version is called untrained; it accepts `backbone`,
    by default `artwork-backbone@production`. A checkpoint names its own backbone; in another format the head
    accepts the backbone's twin too, once it gave the same features.
    Raises InvalidCheckpoint: when the store has no backbone of the space that it was trained on.
    """
    if checkpoint is None:
        backbone = backbone or shelf.store.resolve(BACKBONE)
        accepted: tuple[Version, ...] = (backbone, *relatives(shelf.store, backbone))
        module, calibration = fresh_judge(config, backbone.manifest.dimension), Calibration()
        making = _untrained(config)
    else:
        trained = open_judge(checkpoint)
        body = trained.body
        accepted = serving_versions(_trained_on(shelf.store, body["space_id"], checkpoint), shelf)
        backbone = accepted[0]
        module, calibration, making = trained.judge, trained.calibration, _trained(body)
    features = _golden_features(backbone)
    signature = Signature(inputs=(FEATURE,), outputs=JUDGED, axes={FEATURE: {0: "batch"}})
    shelf.tell(f"exporting {HEAD}")
    graph = make_graph(module, {FEATURE: features[:2]}, signature, shelf.form)
    parity = prove_parity(module, graph, [{FEATURE: features[:count]} for count in PARITY_BATCHES], signature)
    product = Product(
        name=HEAD,
        graph=graph,
        output=EMBEDDING,
        golden_inputs={FEATURE: features},
        making=making,
        about={
            "preprocessing": VectorPreprocessing(dimension=backbone.manifest.dimension),
            "accepts": tuple(version.space_id for version in accepted),
            "calibration": calibration,
            "metrics": {"parity": parity} | ({} if checkpoint is None else dict(body["metrics"])),
        },
    )
    return publish(product, shelf)


def backbone_of(store: ModelStore, head: Version) -> Version:
    """The backbone that a head serves with. Raises NotFound: when the store has it no more."""
    space_id = head.manifest.accepts[0]
    found = find_version(store, BACKBONE, space_id)
    if found is None:
        raise NotFound(f"{head} stands on the space {space_id[:12]}, and no {BACKBONE} of that space is left")
    return found


def export_artwork_encoder(backbone: Version, head: Version, shelf: Shelf) -> Published:
    """Publish both as one graph, `artwork-encoder`, composed from the two files and equal to their chain.

    Raises NotFaithful: when the composed graph gives something else than the chain.
    """
    shelf.tell(f"composing {ENCODER}")
    preprocessing = backbone.manifest.preprocessing
    assert isinstance(preprocessing, ImagePreprocessing)
    pictures = golden_pictures(preprocessing.height, preprocessing.width)
    files = [_graph_path(version) for version in (backbone, head)]
    graph = _joined(files[0], files[1], pictures[:2])
    first, second = (open_graph(path) for path in files)
    with opened(graph) as session:
        pairs = [
            (session.run({IMAGE: batch}), second.run({FEATURE: first.run({IMAGE: batch})[FEATURE]}))
            for batch in (pictures[:count] for count in PARITY_BATCHES)
        ]
    trained = backbone.manifest.provenance.trained and head.manifest.provenance.trained
    product = Product(
        name=ENCODER,
        graph=graph,
        output=EMBEDDING,
        golden_inputs={IMAGE: pictures},
        making=Making(
            source=f"{backbone} + {head}",
            trained=trained,
            licence=backbone.manifest.provenance.licence,
            data_version=head.manifest.provenance.data_version,
            seed=head.manifest.provenance.seed,
            wandb_run=head.manifest.provenance.wandb_run,
        ),
        about={
            "preprocessing": preprocessing,
            "precision": backbone.manifest.precision,
            "pooling": backbone.manifest.pooling,
            "pixel_path": PIXEL_PATH,
            "composed_of": (reference(backbone), reference(head)),
            "calibration": head.manifest.calibration,
            "metrics": {"parity_with_chain": measure_parity(pairs)},
        },
    )
    return publish(product, shelf)


def _joined(backbone: Path, head: Path, image_BHWC: np.ndarray) -> Graph:
    """Both graphs as one, of their own format."""
    if backbone.suffix != head.suffix:
        raise NotFaithful(f"{backbone.name} and {head.name} are of two formats and make no one graph")
    if backbone.suffix == ".onnx":
        return compose(onnx.load(backbone), onnx.load(head), FEATURE)
    signature = Signature(inputs=(IMAGE,), outputs=JUDGED, axes={IMAGE: {0: "batch"}})
    return chain(backbone, head, {IMAGE: image_BHWC}, signature)


def _graph_path(version: Version) -> Path:
    return version.path(graph_file(version.manifest))


def _untrained(config: ArtworkConfig) -> Making:
    return Making(source="random initialisation", trained=False, seed=config.training.seed)


def _trained(body: dict[str, Any]) -> Making:
    return Making(
        source="trainer.artwork.train",
        trained=True,
        data_version=body["data_version"],
        seed=body["seed"],
        wandb_run=body["wandb_run"],
        notes=(_members_note(body),),
    )


def _members_note(body: dict[str, Any]) -> str:
    others = len(body.get("members", ()))
    return f"epoch {body['epoch']}" + (f" and {others} more, judging together" if others else "")


def _trained_on(store: ModelStore, space_id: str, checkpoint: Path) -> Version:
    found = find_version(store, BACKBONE, space_id)
    if found is None:
        raise InvalidCheckpoint(
            f"{checkpoint} was trained on the space {space_id[:12]}; the store has no {BACKBONE} of that "
            "space: export the backbone with the settings of the training first"
        )
    return found


def _golden_features(backbone: Version) -> np.ndarray:
    """Features that the backbone gives for its golden pictures, and as many drawn around them."""
    preprocessing = backbone.manifest.preprocessing
    assert isinstance(preprocessing, ImagePreprocessing)
    pictures = golden_pictures(preprocessing.height, preprocessing.width)
    session = open_graph(_graph_path(backbone))
    real = np.concatenate([session.run({IMAGE: picture[None]})[FEATURE] for picture in pictures])
    rng = np.random.default_rng(0)
    drawn = real + rng.normal(0, 0.5, real.shape) * real.std()
    return np.concatenate((real, drawn)).astype(np.float32)
