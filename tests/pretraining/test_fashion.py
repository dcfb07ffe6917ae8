"""What a `fashion-image` is taught by: labels, words and colours of a batch."""

import pytest
import torch
from pydantic import ValidationError

from pretraining.averaging import follow
from pretraining.config import FashionEncoderSettings, read_encoder_settings
from pretraining.fashion import COLOUR_STEPS, colour_shares
from pretraining.optimisers import build_optimiser, mean_losses
from trainer.errors import Diverged


@pytest.fixture
def settings() -> FashionEncoderSettings:
    return read_encoder_settings().fashion


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"laid_a_batch": 17},
        {"small_size": 120},
        {"size": 200},
        {"seed": -1},
        {"views": {"area": (1.1, 0.25)}},
        {"views": {"area": (-0.5, 1.0)}},
        {"scenes": {"corner": (0.2, 1.5)}},
        {"scenes": {"light": (-1.5, 0.0)}},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: FashionEncoderSettings, wrong: dict[str, object]):
    """Spans that fall, more garments on grounds than there are, sizes in the wrong order."""
    body = settings.model_dump()
    for name, value in wrong.items():
        body[name] = {**body[name], **value} if isinstance(value, dict) else value

    with pytest.raises(ValidationError):
        FashionEncoderSettings.model_validate(body)


def test_a_loss_that_is_no_number_ends_the_run():
    """It names the loss and the epoch; otherwise means come back."""
    assert mean_losses([{"label": 1.0}, {"label": 3.0}], 1) == {"label": 2.0}
    with pytest.raises(Diverged, match="label loss of epoch 4 is nan"):
        mean_losses([{"label": 1.0}, {"label": float("nan")}], 4)


def test_biases_and_gains_do_not_decay():
    """Matrices do."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))

    decayed, others = build_optimiser(network, learning_rate=1e-3, weight_decay=0.1).param_groups

    assert (len(decayed["params"]), decayed["weight_decay"]) == (1, 0.1)
    assert (len(others["params"]), others["weight_decay"]) == (3, 0.0)


def test_an_average_follows_closely_at_first():
    """After step 0 it is the student; later it moves by one minus the decay; counters are copied."""
    student, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        student.weight.fill_(3.0)
        student.num_batches_tracked.fill_(7)

    follow(average, student, 0, 0.9)
    assert torch.equal(average.weight, student.weight)
    assert average.num_batches_tracked == 7
    with torch.no_grad():
        student.weight.fill_(5.0)
    follow(average, student, 10_000, 0.9)
    assert torch.allclose(average.weight, torch.tensor([3.2, 3.2]))
