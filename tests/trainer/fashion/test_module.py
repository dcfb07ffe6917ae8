import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.fashion.encoders.kinds import RECORDS, SCHEMA, SETTINGS, make_encoder
from trainer.fashion.config import FashionTraining
from trainer.fashion.data.records import GarmentRecord
from trainer.fashion.module import EncoderFit, encode_wardrobe
from trainer.fashion.wardrobes import Wardrobe, open_wardrobe
from trainer.fitting import FitSettings, Fitting
from trainer.keeping import Keeper
from trainer.progress import silent
from trainer.tracking import Tracked, tracking


def _wardrobe(count: int, tmp_path) -> Wardrobe:
    """So many garments with pictures drawn at random."""
    vector_ND = np.random.default_rng(0).normal(size=(count, 512)).astype(np.float32)
    garments = [
        GarmentRecord(
            item_id=str(number),
            path=tmp_path,
            attributes=RECORDS[number % len(RECORDS)],
            group=str(number),
            picture_digest=str(number),
        )
        for number in range(count)
    ]
    return open_wardrobe(garments, vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True), SCHEMA)


@pytest.mark.parametrize("stage", ["standalone", "contrastive"])
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("count", [2, 5])
def test_every_kind_is_trained_on_the_smallest_batches(kind, stage, count, tmp_path):
    """Two garments are a batch; a fifth one alone is left out, and one alone can be validated on."""
    # proves F-9, F-23
    encoder = make_encoder(kind)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    settings = FashionTraining(batch_size=2, device="cpu")
    module = EncoderFit(
        encoder, settings, _wardrobe(count, tmp_path), _wardrobe(1, tmp_path), torch.Generator(), stage
    )
    fitting = Fitting(
        module,
        Keeper(tmp_path / "checkpoints", top=1, every=1),
        {},
        FitSettings(max_epochs=1, patience=1, clip_norm=1.0),
        standing=lambda figures: (0.0, -figures["val/loss"]),
    )

    with tracking(Tracked(directory=tmp_path, project="", name=None, enabled=False, settings={})) as tracker:
        (row,) = fitting.run(torch.device("cpu"), tracker, silent, stage)

    assert math.isfinite(row["train/loss"])
    assert math.isfinite(row["val/loss"])
    after = encoder.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    seen = {name: int(count) for name, count in after.items() if name.endswith("num_batches_tracked")}
    # Two views a batch where records are to find each other; none where batches are validated on.
    assert set(seen.values()) <= {(count // 2) * (2 if stage == "standalone" else 1)}
    assert bool(seen) == (kind == "residual, batch")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_measuring_changes_nothing_and_takes_parts(tmp_path, monkeypatch):
    """In eval mode, whatever mode it was in; parts give the figures of the whole."""  # proves F-13, F-23
    encoder = make_encoder("residual, batch").train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    wardrobe = _wardrobe(7, tmp_path)
    wardrobe = replace(wardrobe, keys=tuple(str(number) for number in range(7)))

    whole = encode_wardrobe(encoder, wardrobe)
    monkeypatch.setattr("trainer.fashion.module._ROWS", 3)
    parts = encode_wardrobe(encoder, wardrobe)

    assert np.allclose(parts, whole, rtol=0, atol=1e-6)
    assert encoder.training
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
