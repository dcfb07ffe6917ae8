import math

import numpy as np
import pytest
import torch

from tests.trainer.fashion.encoder_kinds import RECORDS, SCHEMA, SETTINGS, make_encoder
from trainer.fashion.config import FashionTraining
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.dataset import GarmentTensors, make_tensors
from trainer.fashion.module import EncoderModule
from trainer.loop.checkpointing import CheckpointWriter
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.progress import silent
from trainer.loop.tracking import TrackedRun, tracking


def _garments(count: int, tmp_path) -> GarmentTensors:
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
    return make_tensors(garments, vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True), SCHEMA)


@pytest.mark.parametrize("stage", ["standalone", "contrastive"])
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("count", [2, 5])
def test_every_kind_is_trained_on_the_smallest_batches(kind, stage, count, tmp_path):
    """Two garments are a batch; a fifth one alone is left out, and one alone can be validated on."""
    # proves F-9, F-23
    encoder = make_encoder(kind)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    settings = FashionTraining(batch_size=2, device="cpu")
    module = EncoderModule(
        encoder, settings, _garments(count, tmp_path), _garments(1, tmp_path), torch.Generator(), stage
    )
    fitting = Fitting(
        module,
        CheckpointWriter(tmp_path / "checkpoints", top=1, every=1),
        {},
        FitSettings(max_epochs=1, patience=1, clip_norm=1.0),
        standing=lambda figures: (0.0, -figures["val/loss"]),
    )

    with tracking(
        TrackedRun(directory=tmp_path, project="", name=None, enabled=False, settings={})
    ) as tracker:
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
