"""Every kind of encoder through training, checkpoints, evaluation and the store."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.attributes import AttributeSchema
from inference.encoder import encode, open_encoder
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from tests.trainer.artwork.test_train_resume import _alike
from trainer.errors import InvalidCheckpoint
from trainer.fashion.config import AttentionSettings, PooledSettings, ResidualSettings
from trainer.fashion.encoders import encode_tensors, restore_encoder
from trainer.fashion.evaluation.retrieval import evaluate_retrieval
from trainer.fashion.export import export_fashion_attributes, export_fashion_image
from trainer.fashion.module import GarmentTensors, make_tensors
from trainer.fashion.train import KIND, train_fashion
from trainer.fashion.trained_run import restore_ensemble
from trainer.loop.checkpoints import load_checkpoint, save_checkpoint
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow

SETTINGS = {
    "pooled": PooledSettings(field_dim=16, hidden_dim=32),
    "attention": AttentionSettings(),
    "residual": ResidualSettings(field_dim=16, hidden_dim=32, norm="batch"),
}


def _measured(encoder, part: GarmentTensors):
    return evaluate_retrieval(encode_tensors(encoder, part.tensors), part.picture_ND.numpy(), part.keys)


SESSION = SessionSettings(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def config(fashion_config):
    """Core fields and a few epochs; the encoder is the default's, and small."""
    return _with(
        fashion_config.model_copy(
            update={
                "attributes": fashion_config.attributes.model_copy(update={"extended": False}),
                "encoder": SETTINGS["pooled"],
            }
        ),
        max_epochs=2,
        standalone_epochs=1,
    )


@pytest.fixture(scope="module")
def plain(garments, config):
    """Garments whose records have the core fields alone."""
    core = [field.name for field in config.attributes.preprocessing().fields]
    return tuple(replace(g, attributes={name: g.attributes[name] for name in core}) for g in garments)


@pytest.fixture(scope="module")
def target(tmp_path_factory, config) -> PublishTarget:
    """A store with the image model alone."""
    target = PublishTarget(store=ModelStore.at(tmp_path_factory.mktemp("kinds") / "models"))
    export_fashion_image(config.image, target)
    return target


def _with(config, **training_settings):
    return config.model_copy(update={"training": config.training.model_copy(update=training_settings)})


def _of(kind, config):
    return config.model_copy(update={"encoder": SETTINGS[kind]})


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_was_trained_is_what_is_published(kind, gallery, config, plain, space, target):
    """The checkpoint restores; the published graph gives the vectors of its torch encoder."""
    # proves F-7, F-23
    config = _of(kind, config)
    checkpoint = train_fashion(config, plain, gallery.image.version, space).checkpoint
    body = load_checkpoint(checkpoint, KIND)
    encoder = restore_encoder(body)
    records = [{}, *(g.attributes for g in plain[:6])]

    version = export_fashion_attributes(config, target, checkpoint=checkpoint).version

    arrays = AttributeSchema(config.attributes.preprocessing()).tensors(records)
    with torch.no_grad():
        expected = encoder(*(torch.from_numpy(arrays[name]) for name in encoder.inputs)).numpy()
    served = open_encoder(load_model(target.store, version, session=SESSION, stamps=None))
    assert np.allclose(np.stack(encode(served, records)), expected, atol=1e-5)
    assert _alike(body["model_state_dict"], dict(encoder.state_dict()))
    assert version.manifest.provenance.trained
    assert version.manifest.accepts == (target.store.resolve("fashion-image").space_id,)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_run_goes_on_to_the_bits_of_an_unbroken_one(kind, gallery, config, plain, space, tmp_path):
    """Weights and, where there are some, the statistics of batches (F-10, F-23)."""
    config = _of(kind, config)
    paused, unbroken = replace(space, out=tmp_path / "paused"), replace(space, out=tmp_path / "unbroken")
    train_fashion(config, plain, gallery.image.version, unbroken)

    train_fashion(_with(config, max_epochs=1), plain, gallery.image.version, paused)
    train_fashion(config, plain, gallery.image.version, paused, resume=True)

    one, other = (
        load_checkpoint(run.out / "checkpoints" / "last.pt", KIND)["model_state_dict"]
        for run in (paused, unbroken)
    )
    assert _alike(one, other)


def test_a_checkpoint_from_before_there_were_kinds_is_the_default(gallery, config, plain, space):
    """It restores, and its run goes on; a run of another kind does not go on from it (F-23)."""
    train_fashion(_with(config, max_epochs=1), plain, gallery.image.version, space)
    last = space.out / "checkpoints" / "last.pt"
    body = load_checkpoint(last, KIND)
    del body["config"]["encoder"]["kind"], body["schema_version"]
    save_checkpoint(last, body)

    assert _alike(dict(restore_encoder(load_checkpoint(last, KIND)).state_dict()), body["model_state_dict"])
    with pytest.raises(InvalidCheckpoint, match=r"encoder\.kind"):
        train_fashion(_of("residual", config), plain, gallery.image.version, space, resume=True)
    report = train_fashion(config, plain, gallery.image.version, space, resume=True)
    assert [row["epoch"] for row in report.body["epochs"]] == [1, 2]


def test_an_ensemble_is_measured_as_an_encoder_is(gallery, config, plain, space, tmp_path):
    """Of trained members of two kinds; of one member it measures what that one does (F-23)."""
    bodies = {}
    for kind in ("pooled", "residual"):
        run = replace(space, out=tmp_path / kind)
        checkpoint = train_fashion(_of(kind, config), plain, gallery.image.version, run).checkpoint
        bodies[kind] = load_checkpoint(checkpoint, KIND)
    # Pictures that are what the first member makes of their records: it finds each of them.
    part = make_tensors(plain, np.zeros((len(plain), 512), np.float32), config.attributes.preprocessing())
    first = restore_encoder(bodies["pooled"])
    with torch.no_grad():
        picture_ND = first(*(part.tensors[name] for name in first.inputs))
    part = replace(part, picture_ND=picture_ND)

    both, alone = (
        _measured(restore_ensemble({name: bodies[name] for name in names}), part)
        for names in (("pooled", "residual"), ("pooled",))
    )

    single = _measured(first, part)
    # The mean of one is brought to length 1 once more: a last bit of the similarities may differ.
    assert alone == single | {
        name: pytest.approx(single[name]) for name in single if name.endswith("similarity")
    }
    assert both["chance"]["1"] < both["recall"]["1"]
    # The other member draws the vectors away from pictures that are the first one's own.
    assert both["positive_similarity"] < alone["positive_similarity"] - 0.01
