"""The full-size backbone and the training of a head on a GPU (`make test-gpu`)."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from trainer.loop.gradient_cache import GradientCache

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
pytestmark = pytest.mark.slow


@needs_gpu
def test_the_full_backbone_judges_a_pair_within_the_goals():
    """ViT-L/14 at 768 px: below 100 ms a pair, below 12 GB with 32 pairs (A-19)."""
    from benchmarks.artwork_gpu import measure

    figures = measure(None, 768)

    assert figures["ms_a_pair"] < 100, figures
    assert figures["peak_gib_with_32_pairs"] < 12, figures


@needs_gpu
def test_a_batch_that_does_not_fit_goes_through_in_pieces():
    """A real out-of-memory error halves the pieces; the gradient is that of the whole (A-11)."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(8, 1 << 16), torch.nn.GELU(), torch.nn.Linear(1 << 16, 1))
    network.to("cuda")
    feature_BD = torch.randn(4096, 8, device="cuda")
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2.5e9 / total))
    try:
        chunks = GradientCache(network, lambda rows: network(rows).squeeze(-1), len(feature_BD))
        chunks.scores(feature_BD).mean().backward()
        chunks.backward()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert chunks.size < len(feature_BD)
    found = network[0].weight.grad.cpu().numpy()
    network.zero_grad()
    for rows in feature_BD.split(64):
        (network(rows).sum() / len(feature_BD)).backward()
    np.testing.assert_allclose(found, network[0].weight.grad.cpu().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_the_benchmark_says_so():
    """One line, and no figures of another device (A-19)."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.artwork_gpu"], capture_output=True, text=True, timeout=120
    )

    assert ran.returncode == 0
    assert ran.stdout.strip() == "artwork_gpu: skipped, no CUDA device"
    assert ran.stderr == ""
