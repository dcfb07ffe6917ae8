import pytest
import torch

from trainer.loop.device import choose_precision


def test_the_cpu_computes_in_full():
    """No half precision where it is slower (A-10)."""
    assert choose_precision(torch.device("cpu")) == "32-true"


@pytest.mark.parametrize(("has_bfloat", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_computes_in_half(monkeypatch: pytest.MonkeyPatch, has_bfloat: bool, precision: str):
    """bfloat16 where the device has it: it needs no scaling of the loss (A-10)."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat)

    assert choose_precision(torch.device("cuda")) == precision
