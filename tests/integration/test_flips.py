"""Models that change, processes that die and stop, all under load: no answer mixes releases, none is lost.

`ATELIER_TEST_FLIPS_S=600` for ten minutes of promotions and rollbacks, `ATELIER_TEST_SOAK_S=1800` for half an
hour of load; `make test` takes some seconds of each.
"""

import asyncio
import itertools
import os
import signal
import time

import pytest

from tests.integration.ranker_process import Callers, flip, memory_mb, ranker_process
from tests.services.ranker.conftest import Gallery, gallery, published  # noqa: F401  # the first two are fixtures

pytestmark = pytest.mark.slow

KILL_EVERY_S = 4.0
KILLS = int(os.environ.get("ATELIER_TEST_KILLS", "1"))
FLIPS_S = float(os.environ.get("ATELIER_TEST_FLIPS_S", str(max(5.0, KILLS * KILL_EVERY_S))))
SOAK_S = float(os.environ.get("ATELIER_TEST_SOAK_S", "4"))
CALLERS = 16


@pytest.mark.timeout(300 + 3 * int(FLIPS_S))
def test_flips_under_load_with_kills_mix_nothing(gallery: Gallery) -> None:  # noqa: F811
    """Promotions and rollbacks every second under 16 callers, with SIGKILL: each answer is whole and of one
    release, and calls fail only while no ranker runs, as UNAVAILABLE (S-2, S-3, S-8)."""

    async def scenario() -> tuple[Callers, list[tuple[float, float]], int]:
        gone: list[tuple[float, float]] = []
        async with ranker_process(gallery) as ranker:
            callers = Callers(gallery, ranker.address)
            async with callers.calling(CALLERS, pause_s=0.01):
                end, next_kill = time.monotonic() + FLIPS_S, time.monotonic() + KILL_EVERY_S / 2
                for number in itertools.count():
                    flip(gallery, number)
                    await asyncio.sleep(1.0)
                    if time.monotonic() > next_kill:
                        killed = time.monotonic()
                        assert await ranker.end(signal.SIGKILL) == -signal.SIGKILL
                        await ranker.start()
                        gone.append((killed, time.monotonic()))
                        next_kill = time.monotonic() + KILL_EVERY_S
                    if time.monotonic() > end:
                        return callers, gone, number + 1
        raise AssertionError

    callers, gone, flips = asyncio.run(scenario())

    print(f"{flips} flips, {len(gone)} kills: {dict(callers.outcomes)}, by version {dict(callers.versions)}")
    assert callers.mixed == []
    assert {*callers.versions} == {1, 2}
    assert {*callers.outcomes} <= {"OK", "UNAVAILABLE"}
    assert all(any(begin <= at <= end + 1.0 for begin, end in gone) for at in callers.unavailable)
    assert gone


def test_sigterm_under_overload_loses_no_accepted_request(gallery: Gallery) -> None:  # noqa: F811
    """Sixty-four callers without a pause: what the service logged as answered has arrived, everything else
    was refused as UNAVAILABLE, and the process ends with 0 (S-1, S-4, S-12)."""

    async def scenario() -> tuple[Callers, int, list[str]]:
        async with ranker_process(gallery, delay_s=0.05) as ranker:
            callers = Callers(gallery, ranker.address)
            async with callers.calling(4 * CALLERS):
                while callers.outcomes["OK"] < 4 * CALLERS:  # noqa: ASYNC110 - counted by others
                    await asyncio.sleep(0.01)
                exit_code = await ranker.end(signal.SIGTERM)
                callers.stop.set()
            codes = [str(line["code"]) for line in ranker.logged() if line["message"] == "call"]
            return callers, exit_code, codes

    callers, exit_code, codes = asyncio.run(scenario())

    print(f"{dict(callers.outcomes)}; logged {len(codes)} calls")
    assert exit_code == 0
    assert {*callers.outcomes} <= {"OK", "UNAVAILABLE"}
    assert {*codes} <= {"OK", "UNAVAILABLE"}
    assert codes.count("OK") == callers.outcomes["OK"]
    assert callers.mixed == []


@pytest.mark.timeout(300 + 2 * int(SOAK_S))
def test_load_does_not_grow_memory(gallery: Gallery) -> None:  # noqa: F811
    """After a first third in which caches fill, half an hour adds less than 2 % (S-12); some seconds or
    minutes, in which an allocator still settles, less than 10 %."""

    async def scenario() -> tuple[Callers, float, float]:
        async with ranker_process(gallery) as ranker:
            callers = Callers(gallery, ranker.address)
            async with callers.calling(CALLERS, pause_s=0.005):
                await asyncio.sleep(SOAK_S / 3)
                before = memory_mb(ranker.process.pid)
                await asyncio.sleep(SOAK_S * 2 / 3)
                return callers, before, memory_mb(ranker.process.pid)

    callers, before_mb, after_mb = asyncio.run(scenario())

    print(f"{callers.outcomes['OK']} calls in {SOAK_S:.0f} s: {before_mb:.0f} MB, then {after_mb:.0f} MB")
    assert {*callers.outcomes} == {"OK"}
    assert after_mb < before_mb * (1.02 if SOAK_S >= 600 else 1.10)
