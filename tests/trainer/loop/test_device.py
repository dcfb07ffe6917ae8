import logging

import pytest
import torch

from trainer.loop.device import choose_device, choose_precision


def test_without_cuda_the_cpu_trains_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch, caplog):
    """`device: cuda` is a wish (A-21, Q-4)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with caplog.at_level(logging.WARNING):
        assert choose_device("cuda") == torch.device("cpu")

    assert "no CUDA device: training on the CPU" in caplog.text


@pytest.mark.parametrize("wanted", ["cuda", "cpu"])
def test_with_cuda_the_wanted_device_trains(monkeypatch: pytest.MonkeyPatch, caplog, wanted):
    """The CPU stays a choice where there is a GPU (A-21)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    assert choose_device(wanted) == torch.device(wanted)
    assert caplog.text == ""


def test_the_cpu_computes_in_full():
    """No half precision where it is slower (A-10)."""
    assert choose_precision(torch.device("cpu")) == "32-true"


@pytest.mark.parametrize(("has_bfloat", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_computes_in_half(monkeypatch: pytest.MonkeyPatch, has_bfloat: bool, precision: str):
    """bfloat16 where the device has it: it needs no scaling of the loss (A-10)."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat)

    assert choose_precision(torch.device("cuda")) == precision
