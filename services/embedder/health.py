"""When the embedder says SERVING: its store can be read, its models answer and its device computes.

A run that is stuck ends the process, since a thread cannot be stopped; a device that fails every run makes it
NOT_SERVING until an empty input runs again (S-9).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_store.aliases import PRODUCTION
from model_store.durable import write_text
from services.embedder.errors import EmbedderError, StoreUnavailable
from services.embedder.models import LoadedModels
from services.embedder.scheduling.engine import Engine
from services.embedder.stages import Stages
from services.embedder.store_reader import StoreReader

STUCK_EXIT: Final = 70
FAILED_RUNS: Final = 5  # in a row, before the device is probed
_POLL_S: Final = 1.0
_LOG_EVERY: Final = 60
_SCHEMA: Final = 1

SetServing = Callable[[bool], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UsedSpaces:
    """The spaces in memory, kept in a file for the next process to load; losing it costs only time."""

    path: Path

    def read(self) -> tuple[str, ...] | None:
        """The spaces that a process before had in memory; None if that is not known."""
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("cannot read which models were in use", extra={"reason": str(error)})
            return None
        spaces = body.get("spaces") if isinstance(body, dict) and body.get("schema") == _SCHEMA else None
        return tuple(filter(_is_text, spaces)) if isinstance(spaces, list) else None

    def write(self, spaces: Iterable[str]) -> None:
        """Keep the spaces in memory; where the disk refuses, only a line in the log."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps({"schema": _SCHEMA, "spaces": sorted(spaces)}), sync=False)
        except OSError as error:
            _log.warning("cannot keep which models are in use", extra={"reason": str(error)})


async def become_ready(
    models: LoadedModels, used: UsedSpaces | None, set_serving: SetServing, poll_s: float
) -> None:
    """Report SERVING once the store can be read and what was in use is loaded, or is refused.

    used: what to load; where it does not know, what the aliases `production` mean. None loads nothing.
    """
    await _store_readable(models.store, poll_s)
    if used is not None:
        for space_id in used.read() or await _in_production(models):
            try:
                await models.prepare(space_id)
            except EmbedderError as error:
                _log.warning("serving without a model that was in use", extra={"reason": str(error)})
    await set_serving(True)


async def _store_readable(store: StoreReader, poll_s: float) -> None:
    attempt = 0
    while True:
        try:
            await store.check()
        except StoreUnavailable:
            if attempt % _LOG_EVERY == 0:
                _log.warning("model store cannot be read, trying again", extra={"store": store.place})
            attempt += 1
            await asyncio.sleep(poll_s)
        else:
            return


async def _in_production(models: LoadedModels) -> list[str]:
    try:
        listings = await models.listings()
    except EmbedderError as error:
        _log.warning("cannot list what is in production", extra={"reason": str(error)})
        return []
    versions = (listing.version for listing in listings if listing.alias == PRODUCTION)
    return [version.space_id for version in versions if version is not None]


async def watch_runs(
    engines: Iterable[Engine],
    floor_s: float,
    set_serving: SetServing,
    exit_process: Callable[[int], Any],
    *,
    poll_s: float = _POLL_S,
) -> None:
    """Report NOT_SERVING and end the process when a run is stuck: a thread cannot be stopped (S-9)."""
    engines = tuple(engines)
    while True:
        await asyncio.sleep(poll_s)
        for stuck in filter(None, (engine.stuck(floor_s) for engine in engines)):
            _log.critical(
                "a run is stuck, ending the process for a restart",
                extra={
                    "engine": stuck.engine,
                    "input_count": stuck.count,
                    "seconds": round(stuck.seconds, 1),
                    "allowed_s": round(stuck.allowed_s, 1),
                },
            )
            await set_serving(False)
            await asyncio.sleep(poll_s)  # health watchers see it first
            exit_process(STUCK_EXIT)
            return


async def watch_device(stages: Stages, models: LoadedModels, set_serving: SetServing, poll_s: float) -> None:
    """Report NOT_SERVING while the device fails every run, and SERVING again when it computes.

    After some failures in a row an empty input of each loaded model is run: one that runs shows that the
    inputs were at fault. Never returns.
    """
    is_failing = False
    while True:
        await asyncio.sleep(poll_s)
        failing = stages.computing.failing(1 if is_failing else FAILED_RUNS)
        if failing is not None and await _computes(stages, models):
            failing = None
        if is_failing == (failing is not None):
            continue
        is_failing = failing is not None
        if failing is not None:
            reason = {"engine": failing.engine, "run_count": failing.count, "reason": str(failing.error)}
            _log.critical("every run fails, not serving until one succeeds", extra=reason)
        else:
            _log.info("the device computes again")
        await set_serving(not is_failing)


async def _computes(stages: Stages, models: LoadedModels) -> bool:
    """Whether an empty input of any loaded model can be run, or there is none that could fail."""
    if not models.loaded:
        return True
    for space in models.loaded:
        if await stages.probe(space) is None:
            return True
    return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
