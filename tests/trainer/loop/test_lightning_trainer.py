import subprocess
import sys

import pytest
import torch

from trainer.loop.lightning_trainer import choose_precision


def test_the_cpu_computes_in_full():
    """No half precision where it is slower."""  # proves A-10
    assert choose_precision(torch.device("cpu")) == "32-true"


@pytest.mark.parametrize(("has_bfloat", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_computes_in_half(monkeypatch: pytest.MonkeyPatch, has_bfloat: bool, precision: str):
    """bfloat16 where the device has it: it needs no scaling of the loss."""  # proves A-10
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat)

    assert choose_precision(torch.device("cuda")) == precision


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_was_told_to_stop_does_not_claim_to_be_done(name: str, status: int):
    """Whoever waits for it sees the signal in its status, as of any other program."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.loop.interrupted_training", name],
        capture_output=True,
        timeout=100,
    )

    assert done.returncode == status, done.stderr.decode()[-2000:]
    assert b"an epoch ended" not in done.stdout
    assert b"Traceback" not in done.stderr
