import numpy as np
import pytest

from inference.encoder import encode, open_encoder
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from trainer.errors import InvalidCheckpoint
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.train import train_fashion
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow


def _encoder(store, version):
    return open_encoder(
        load_model(store, version, session=SessionSettings(provider="cpu", threads=1), stamps=None)
    )


def test_image_vectors_have_length_one(gallery, garments):
    """512 numbers, norm 1 by the manifest's own range (F-8)."""
    vectors = np.stack(
        encode(_encoder(gallery.store, gallery.image.version), [g.path.read_bytes() for g in garments[:4]])
    )

    assert vectors.shape == (4, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert gallery.image.version.manifest.norm_range == (0.999, 1.001)


def test_attribute_encoder_carries_its_schema(gallery, fashion_config):
    """Fields, vocabulary, spelling and the space that it shares are in the manifest (F-4)."""
    manifest = gallery.attributes.version.manifest

    assert manifest.preprocessing == fashion_config.attributes.preprocessing()
    assert manifest.accepts == (gallery.image.version.space_id,)
    assert not manifest.provenance.trained


def test_records_of_every_shape_are_encoded(gallery):
    """Nothing, one field, unknown words, long lists: in one batch or alone (F-3, F-7)."""
    encoder = _encoder(gallery.store, gallery.attributes.version)
    records = [
        {},
        {"category": "코트"},
        {"style": ["모던", "?"], "silhouette": "노말"},
        {"detail": [f"w{i}" for i in range(100)]},
    ]

    together = np.stack(encode(encoder, records))
    alone = np.stack([encode(encoder, [record])[0] for record in records])

    assert together.shape == (4, 512)
    assert np.allclose(together, alone, atol=1e-6)


def test_checkpoint_of_another_space_is_refused(gallery, fashion_config, garments, space, tmp_path):
    """An encoder is never published beside a tower that it was not trained against."""
    checkpoint = train_fashion(fashion_config, garments, gallery.image.version, space).checkpoint

    with pytest.raises(InvalidCheckpoint, match="no fashion-image of that space"):
        export_fashion_attributes(
            fashion_config, PublishTarget(store=ModelStore.at(tmp_path / "models")), checkpoint=checkpoint
        )
