"""What a cached `Embed` and a `Rank` of two cached pictures cost: `python -m benchmarks.cached_calls`

The packaged models serve in processes of their own, with logs, metrics and tokens on. Beside them a bare
asyncio gRPC server takes the same request bytes and answers the same reply bytes, without parsing either.
16 callers take the targets in turn within each round, so the shares are of one run; each figure is the median
of the rounds. `--before CHECKOUT` measures another checkout's servers too, in the same rounds.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from PIL import Image

from benchmarks.calls import START_S, Target, alternate, echo, started
from benchmarks.report import Figures, run
from benchmarks.ring import TOKEN
from services.runtime.authorization import digest_token

PICTURES = 64
SIDE = 320
EMBED, RANK = "/atelier.embedder.v1.EmbedderService/Embed", "/atelier.ranker.v1.RankerService/Rank"


def _pictures() -> list[bytes]:
    """Encoded pictures of about 20 KB each."""
    pictures = []
    for seed in range(PICTURES):
        pixels = np.random.default_rng(seed).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        with tempfile.SpooledTemporaryFile() as stream:
            Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG")
            stream.seek(0)
            pictures.append(stream.read())
    return pictures


def _embed_requests(pictures: list[bytes]) -> tuple[bytes, ...]:
    return tuple(
        embedder_pb2.EmbedRequest(
            model={"name": "artwork-backbone"}, inputs=[{"id": "a", "image": picture}]
        ).SerializeToString()
        for picture in pictures
    )


def _rank_requests(pictures: list[bytes]) -> tuple[bytes, ...]:
    pairs = zip(pictures, pictures[1:] + pictures[:1], strict=True)
    return tuple(
        ranker_pb2.RankRequest(
            candidates=[{"id": "a", "image": first}, {"id": "b", "image": second}]
        ).SerializeToString()
        for first, second in pairs
    )


@contextlib.contextmanager
def _services(root: Path, folder: Path, pictures: list[bytes]) -> Iterator[dict[str, Target]]:
    """The embedder's and the ranker's target of one checkout, warm and with every picture in the cache."""
    folder.mkdir()
    tokens = folder / "tokens"
    tokens.write_text(f"benchmark admin {digest_token(TOKEN)}\n")
    common = {
        "ATELIER_STORE": str(folder.parent / "store"),
        "ATELIER_TOKENS_FILE": str(tokens),
        "ATELIER_PEER_TOKEN": TOKEN,
        "ATELIER_EMBEDDER_PORT": "0",
        "ATELIER_EMBEDDER_METRICS_PORT": "0",
        "ATELIER_RANKER_PORT": "0",
        "ATELIER_RANKER_METRICS_PORT": "0",
        "ATELIER_CACHE": str(folder / "cache"),
    }
    module, ready = ["-m", "services.embedder"], folder / "embedder.json"
    with started(module, ready, root, common) as (embedder, address):
        beside = {**common, "ATELIER_EMBEDDER_ADDRESS": address}
        with started(["-m", "services.ranker"], folder / "ranker.json", root, beside) as (ranker, other):
            embed = Target(
                address=address, path=EMBED, requests=_embed_requests(pictures), processes=(embedder,)
            )
            rank = Target(
                address=other, path=RANK, requests=_rank_requests(pictures), processes=(embedder, ranker)
            )
            yield {"embed": embed, "rank": rank}


async def _warm(target: Target) -> bytes:
    """Send every request, until the service is ready; the last reply."""
    end = time.monotonic() + START_S
    async with grpc.aio.insecure_channel(target.address) as channel:
        reply = b""
        for number in range(len(target.requests)):
            while True:
                try:
                    reply = await target.call(channel, number)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                        raise
                    await asyncio.sleep(0.2)
    return reply


def measure(options: argparse.Namespace) -> Figures:
    """Calls a second, share of the echo's, p50 and p99 and the servers' CPU microseconds a call."""
    pictures = _pictures()
    roots = {"": Path.cwd(), **({"before_": options.before.resolve()} if options.before else {})}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        defaults = ["-c", "from cli.main import app; app()", "models", "defaults", "--store"]
        subprocess.run([sys.executable, *defaults, str(folder / "store")], check=True, capture_output=True)
        (folder / "replies").mkdir()
        targets: dict[str, Target] = {}
        for prefix, root in roots.items():
            services = stack.enter_context(_services(root, folder / f"{prefix}data", pictures))
            targets |= {prefix + kind: target for kind, target in services.items()}
        for kind, target in targets.items():
            reply = asyncio.run(_warm(target))
            (folder / "replies" / kind).write_bytes(reply)
        pid, address = stack.enter_context(echo(folder / "replies"))
        for kind in ("embed", "rank"):
            targets[f"echo_{kind}"] = Target(
                address=address, path=f"/echo/{kind}", requests=targets[kind].requests, processes=(pid,)
            )
        return _figures(alternate(targets, *((2, 1.5) if options.quick else (5, 3.0))))


def _figures(medians: dict[str, dict[str, float]]) -> Figures:
    for name, figures in medians.items():
        if not name.startswith("echo_"):
            beside = medians[f"echo_{name.removeprefix('before_')}"]
            figures["share_of_echo"] = round(figures["calls_a_second"] / beside["calls_a_second"], 3)
    return medians


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", type=Path, help="Checkout to compare with.", metavar="CHECKOUT")


def main() -> None:
    run("cached_calls", __doc__, measure, _options)


if __name__ == "__main__":
    main()
