"""The fashion models into the store: the image tower and the attribute encoder (F-4, F-7, F-8)."""

from pathlib import Path

import torch

from inference.pixels import PIXEL_PATH
from model_store.manifest import AttributePreprocessing, ImagePreprocessing
from model_store.store import Version
from trainer.backbones.fashion_clip import FashionCLIPVectors, load_fashion_clip
from trainer.backbones.weights import weights_digest
from trainer.fashion.config import FashionConfig, ImageSettings
from trainer.fashion.encoders import RecordEncoder, build_encoder, restore_encoder
from trainer.fashion.train import KIND
from trainer.fashion.trained_run import IMAGE_MODEL
from trainer.loop.checkpoints import load_checkpoint
from trainer.publication.compatible_versions import relatives, serving_versions
from trainer.publication.frozen import publish_frozen
from trainer.publication.golden_inputs import golden_pictures, golden_records
from trainer.publication.graphs import make_proven_graph
from trainer.publication.publish import (
    UNIT_NORM,
    PublishableGraph,
    Published,
    PublishTarget,
    provenance_of,
    publish,
)  # fmt: skip
from trainer.publication.signature import Signature
from trainer.publication.stored_versions import trained_against

ATTRIBUTE_MODEL = "fashion-attributes"
IMAGE, VECTOR = "image_BHWC", "vector_BD"


def export_fashion_image(settings: ImageSettings, target: PublishTarget) -> Published:
    """Publish the image tower as `fashion-image`: uint8 image_BHWC → vector_BD of length 1.

    Raises BackboneUnavailable: when the tower does not load. Raises NotFaithful: when the graph differs.
    """
    target.notify(f"loading {settings.source}")
    clip = load_fashion_clip(settings.source, settings.library)
    module = FashionCLIPVectors(clip)
    signature = Signature(inputs=(IMAGE,), outputs=(VECTOR,), axes={IMAGE: {0: "batch"}})
    pictures = golden_pictures(clip.size, clip.size)
    target.notify(f"exporting {IMAGE_MODEL}")
    graph, parity = make_proven_graph(module, {IMAGE: pictures}, signature, target.form)
    model = PublishableGraph(
        name=IMAGE_MODEL,
        graph=graph,
        output=VECTOR,
        golden_inputs={IMAGE: pictures},
        source=provenance_of(**clip.origin.provenance()),
        fields={
            "preprocessing": ImagePreprocessing(height=clip.size, width=clip.size, fit=clip.fit),
            "pixel_path": PIXEL_PATH,
            "metrics": {
                "parity": parity,
                "weights_sha256": weights_digest(clip.tower),
                **clip.origin.metrics(),
            },
        },
        norm_range=UNIT_NORM,
    )
    return publish_frozen(model, target)


def export_fashion_attributes(
    config: FashionConfig,
    target: PublishTarget,
    *,
    checkpoint: Path | None = None,
    image: Version | None = None,
) -> Published:
    """Publish the attribute encoder as `fashion-attributes`, in the space of `fashion-image`.

    Without a checkpoint the weights are random and the version is called untrained; it accepts `image`,
    by default `fashion-image@production`. A checkpoint names its own image space, schema and spelling; in
    another format the encoder accepts the image model's twin too, once it gave the same vectors.
    Raises InvalidCheckpoint: when the store has no image model of the space that it was trained on.
    """
    if checkpoint is None:
        image = image or target.store.resolve(IMAGE_MODEL)
        accepted: tuple[Version, ...] = (image, *relatives(target.store, image))
        preprocessing, metrics = config.attributes.preprocessing(), {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.training.seed)
            encoder = build_encoder(preprocessing.fields, config.encoder).eval()
        source = provenance_of(source="random initialisation", trained=False, seed=config.training.seed)
    else:
        body = load_checkpoint(checkpoint, KIND)
        accepted = serving_versions(
            trained_against(target.store, IMAGE_MODEL, body["space_id"], checkpoint), target
        )
        preprocessing = AttributePreprocessing.model_validate(body["preprocessing"])
        encoder, metrics = restore_encoder(body), dict(body["metrics"])
        source = provenance_of(
            source="trainer.fashion.train",
            trained=True,
            data_version=body["data_version"],
            seed=body["seed"],
            wandb_run=body["wandb_run"],
            notes=(f"epoch {body['epoch']}",),
        )
    records = golden_records(preprocessing)
    signature = encoder_signature(encoder)
    target.notify(f"exporting {ATTRIBUTE_MODEL}")
    graph, parity = make_proven_graph(encoder, records, signature, target.form)
    model = PublishableGraph(
        name=ATTRIBUTE_MODEL,
        graph=graph,
        output=VECTOR,
        golden_inputs=records,
        source=source,
        fields={
            "preprocessing": preprocessing,
            "accepts": tuple(version.space_id for version in accepted),
            "metrics": {"parity": parity, **metrics},
        },
        norm_range=UNIT_NORM,
    )
    return publish(model, target)


def encoder_signature(encoder: RecordEncoder) -> Signature:
    """The signature of the exported graph: the batch varies everywhere, each list has a length of its own."""
    axes = {
        name: {0: "batch"} | ({1: f"{name.rsplit('_', 2)[0]}_length"} if name.endswith("_BL") else {})
        for name in encoder.inputs
    }
    return Signature(inputs=encoder.inputs, outputs=(VECTOR,), axes=axes)
