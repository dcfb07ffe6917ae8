"""The colours and the senders that a `fashion-image` learns from."""

import numpy as np
import pytest
import torch

from pretraining.config import FashionEncoderSettings, read_pretraining_settings
from pretraining.corpus import CutOuts, DrawnGarments, LabelledPictures
from pretraining.fashion_image import (
    COLOUR_STEPS,
    FashionCorpus,
    FashionObjective,
    colour_shares,
    sender_weights,
)


def test_colours_are_shares_of_the_middle():
    """Half black, half white is half of the first bin and half of the last; edges are not asked."""
    view_BCSS = torch.zeros(1, 3, 20, 20)
    view_BCSS[:, :, :, 10:] = 1.0
    view_BCSS[:, 0, :2] = 1.0

    share_BK = colour_shares(view_BCSS)

    assert share_BK.shape == (1, COLOUR_STEPS**3)
    assert share_BK[0, 0] == pytest.approx(0.5)
    assert share_BK[0, -1] == pytest.approx(0.5)
    assert share_BK.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("balance", "shares"), [(0.0, (0.8, 0.2)), (1.0, (0.5, 0.5))])
def test_senders_are_balanced_as_far_as_asked(balance: float, shares: tuple[float, float]):
    """From every photograph alike to every sender alike."""
    sender_N = np.array([0] * 8 + [1] * 2)

    weight_N = sender_weights(sender_N, balance).numpy()

    share_S = [weight_N[sender_N == sender].sum() / weight_N.sum() for sender in (0, 1)]
    assert share_S == pytest.approx(shares)


@pytest.fixture
def settings() -> FashionEncoderSettings:
    small = {
        "fashion.size": 64,
        "fashion.small_size": 32,
        "fashion.source_size": 64,
        "fashion.photographs_a_batch": 4,
        "fashion.garments_a_batch": 3,
        "fashion.laid_a_batch": 1,
        "fashion.epochs": 2,
        "fashion.small_share": 0.5,
        "fashion.device": "cpu",
    }
    return read_pretraining_settings(overrides=small).fashion


@pytest.fixture
def corpus() -> FashionCorpus:
    """Ten photographs of two senders, and six drawn garments with one field of two words."""
    rng = np.random.default_rng(0)
    return FashionCorpus(
        photographs=LabelledPictures(
            image_NSSC=rng.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8),
            label_N=np.array([0, 1, -1, 0, 1, 0, 1, -1, 0, 1]),
            sender_N=np.array([0] * 5 + [1] * 5),
            labels=("Shirt", "Pants"),
        ),
        garments=DrawnGarments(
            image_NSSC=rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8),
            word_NF=np.array([[0], [1], [-1], [0], [1], [0]]),
            words=(("red", "blue"),),
        ),
        cut_outs=CutOuts(
            layer_NSS4=rng.integers(0, 256, (6, 64, 64, 4), dtype=np.uint8),
            box_N4=np.tile(np.array([0.2, 0.2, 0.8, 0.8], np.float32), (6, 1)),
            label_N=np.array([0, 1, -1, 0, 1, -1]),
        ),
    )


@pytest.mark.slow
def test_batches_hold_photographs_and_garments_by_number(
    corpus: FashionCorpus, settings: FashionEncoderSettings
):
    """As many as the settings say, the same ones for the same seed, and only whole batches."""
    one, same = (list(FashionObjective(corpus, settings).batches()) for _ in range(2))

    assert len(one) == FashionObjective(corpus, settings).steps_per_epoch == 2
    for (photo_P, drawn_M), (photo, drawn) in zip(one, same, strict=True):
        assert photo_P.shape == (4,)
        assert drawn_M.shape == (3,)
        assert photo_P.max() < 10
        assert drawn_M.max() < 6
        assert np.array_equal(photo_P, photo)
        assert np.array_equal(drawn_M, drawn)


@pytest.mark.slow
def test_the_first_views_are_small(
    corpus: FashionCorpus, settings: FashionEncoderSettings, monkeypatch: pytest.MonkeyPatch
):
    """Half of all steps see small views, the others views of full size; every loss is weighted and finite."""
    objective = FashionObjective(corpus, settings)
    sides: list[int] = []
    forward = objective.network.forward

    def watched(view_BCSS: torch.Tensor) -> torch.Tensor:
        sides.append(view_BCSS.shape[-1])
        return forward(view_BCSS)

    monkeypatch.setattr(objective.network, "forward", watched)

    for step, batch in enumerate([*objective.batches(), *objective.batches()]):
        losses = objective.losses(batch, step)

        assert losses.keys() == objective.loss_weights.keys()
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert sides == [32, 32, 64, 64]
