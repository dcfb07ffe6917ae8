"""How fast and large is the full backbone on a GPU? (A-19)

    python -m benchmarks.artwork_gpu [--quick] [--json FILE] [--backbone NAME|DIR]

DINOv2 ViT-L/14 at 768 px with a fresh head, in half precision, with random weights unless --backbone names
others: speed does not depend on what was learned. Measures ms a pair alone, pictures a second, and the peak
GPU memory with 32 pairs through the backbone at once. Skipped where there is no CUDA device.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.report import Skipped, run
from trainer.artwork.config import HeadSettings
from trainer.artwork.model import PairwiseRankingModel
from trainer.backbones.dinov2 import DINOv2Features, load_dinov2

PAIRS, WARMUP, REPEATS, QUICK_REPEATS = 32, 3, 20, 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """The backbone and its input size."""
    parser.add_argument("--backbone", help="A hub id or a directory. Default: ViT-L/14 with random weights.")
    parser.add_argument("--side", type=int, default=768, help="Height and width in pixels. Default: 768.")


def measure_device(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of this machine's CUDA device."""
    if not torch.cuda.is_available():
        raise Skipped("no CUDA device")
    return measure(options.backbone, options.side, QUICK_REPEATS if options.quick else REPEATS)


def measure(backbone: str | None, side: int, repeats: int) -> dict[str, Any]:
    """The figures of one device."""
    device = torch.device("cuda")
    model = load_dinov2(backbone).model if backbone else _random_vit_large()
    features = DINOv2Features(model, height=side, width=side, pooling="cls").to(device).eval()
    head = PairwiseRankingModel.build(int(model.config.hidden_size), HeadSettings()).to(device).eval()

    @torch.inference_mode()
    def judge(images: int) -> float:
        """Seconds of one pass over uint8 pictures that lie in host memory, as they come from a request."""
        image_BHWC = torch.randint(0, 256, (images, side, side, 3), dtype=torch.uint8)
        torch.cuda.synchronize()
        started = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            head.forward_single(features(image_BHWC.to(device)).float())
        torch.cuda.synchronize()
        return time.perf_counter() - started

    alone = _median(judge, 2, repeats)
    torch.cuda.reset_peak_memory_stats()
    together = _median(judge, 2 * PAIRS, repeats)
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "side": side,
        "ms_a_pair": alone * 1e3,
        "ms_a_pair_of_32": together * 1e3 / PAIRS,
        "images_per_second": 2 * PAIRS / together,
        "peak_gib_with_32_pairs": torch.cuda.max_memory_allocated() / (1 << 30),
    }


def _median(judge: Callable[[int], float], images: int, repeats: int) -> float:
    for _ in range(WARMUP):
        judge(images)
    return sorted(judge(images) for _ in range(repeats))[repeats // 2]


def _random_vit_large() -> Any:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    return Dinov2Model(
        Dinov2Config(
            hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518, patch_size=14
        )
    )


if __name__ == "__main__":
    run("artwork_gpu", __doc__, measure_device, add_options)
