"""Releases: one alias followed, one frozen release in service, swapped without a failed request (S-3).

A keeper polls its alias. When the alias moves, the new version is prepared beside the present one and
swapped in; the old release is retired once its last holder has left. A request holds one release from
admission to reply. All methods belong to the event loop that runs the keeper; files are read on a
thread of its own, so a hanging disk stalls the polling and nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from inference.errors import NoRelease, RefusedModel
from model_store.aliases import AliasTarget
from model_store.errors import NoStore, NotInStore, StoreError, first_line
from model_store.manifest import MANIFEST_FILE
from model_store.store import ModelStore, Version

T = TypeVar("T")
R = TypeVar("R")
State = Literal["absent", "preparing", "serving", "refused", "orphaned"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Generic[T]):
    """The version that an alias meant, and what was prepared for it."""

    lead: Version
    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatus:
    """What a keeper serves and what it waits for. version: the version in service; None before the first.

    swapped_at: when it came into service, in Unix seconds; 0 before the first.
    """

    state: State
    detail: str
    version: Version | None
    swapped_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds between attempts at one version: from `first`, doubling up to `longest`."""

    first: float
    longest: float

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))


# A refused version rarely becomes good, and hashing it again is expensive.
REFUSED_BACKOFF: Final = Backoff(first=5.0, longest=60.0)
# Anything else, such as a service that is down, must be noticed within 2 s of its recovery.
FAILED_BACKOFF: Final = Backoff(first=0.25, longest=1.0)


class _Slot(Generic[T]):
    """A release in memory and its number of holders."""

    def __init__(self, release: Release[T]) -> None:
        self.release = release
        self._holders = 0
        self._left = asyncio.Event()
        self._left.set()

    @contextmanager
    def hold(self) -> Iterator[Release[T]]:
        self._holders += 1
        self._left.clear()
        try:
            yield self.release
        finally:
            self._holders -= 1
            if not self._holders:
                self._left.set()

    async def drained(self) -> None:
        """Return once the release has no holder."""
        await self._left.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The last attempt that failed, and when the next is due."""

    target: AliasTarget
    reason: str
    count: int
    due: float


class ReleaseKeeper(Generic[T]):
    """Keeps the version that an alias means prepared and in service.

    `prepare` builds what is served from a version; `retire` releases it once it has no holder. A version
    that cannot be prepared leaves the present release in service, and is tried again when the alias moves
    or after a back-off.

    falls_back: without a present release, as after a restart, such a version gives way to the last one of the
    alias's history that can be prepared.
    """

    def __init__(
        self,
        store: ModelStore,
        name: str,
        alias: str,
        prepare: Callable[[Version], Awaitable[T]],
        retire: Callable[[T], Awaitable[None]],
        poll_s: float = 0.5,
        *,
        refused: Backoff = REFUSED_BACKOFF,
        failed: Backoff = FAILED_BACKOFF,
        falls_back: bool = False,
    ) -> None:
        self._store, self._name, self._alias = store, name, alias
        self._falls_back = falls_back
        self._prepare, self._retire = prepare, retire
        self._poll_s, self._refused, self._failed = poll_s, refused, failed
        self._slot: _Slot[T] | None = None
        self._failure: _Failure | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._first = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix=f"release-{name}")
        self._state: State = "absent"
        self._detail = f"{name}@{alias} has not been looked at yet"
        self._swapped_at = 0.0

    @property
    def status(self) -> ReleaseStatus:
        """What is in service now, and one line on what is wrong with it. From any thread."""
        present = self.present
        version = present.lead if present else None
        return ReleaseStatus(
            state=self._state, detail=self._detail, version=version, swapped_at=self._swapped_at
        )

    @property
    def present(self) -> Release[T] | None:
        """The release in service, for inspection: it may be retired at any moment. From any thread."""
        slot = self._slot
        return slot.release if slot else None

    @contextmanager
    def hold(self) -> Iterator[Release[T]]:
        """The release in service, kept from retirement until the context ends.

        Raises NoRelease: before the first release, saying why there is none.
        """
        if self._slot is None:
            raise NoRelease(self._detail)
        with self._slot.hold() as release:
            yield release

    async def wait_first(self, timeout: float | None = None) -> Release[T]:  # noqa: ASYNC109 - callers hold a deadline
        """Wait for the first release.

        Raises NoRelease: if `timeout` seconds pass first, saying what is missing.
        """
        try:
            await asyncio.wait_for(self._first.wait(), timeout)
        except TimeoutError as error:
            raise NoRelease(self._detail) from error
        if self._slot is None:
            raise NoRelease(self._detail)
        return self._slot.release

    async def run(self) -> None:
        """Follow the alias until cancelled. What is in service then stays so until `close`."""
        while True:
            try:
                await self._step()
            except Exception:  # noqa: BLE001 - the keeper outlives any error of a poll
                _log.exception(
                    "alias could not be followed", extra={"model": self._name, "alias": self._alias}
                )
            await asyncio.sleep(self._poll_s)

    async def close(self, drain_s: float = 10.0) -> None:
        """Retire every release once its holders have left, or after `drain_s` seconds.

        Cancel `run` first. `hold` raises from here on.
        """
        if self._slot is not None:
            slot, self._slot = self._slot, None
            self._state, self._detail = "absent", f"{self._name}@{self._alias} is closed"
            self._retire_later(slot, drain_s)
        if self._retiring:
            _, late = await asyncio.wait(self._retiring, timeout=drain_s + 1)
            for task in late:
                task.cancel()
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def _step(self) -> None:
        """Read the alias once, and act on it."""
        try:
            target = await self._on_disk(self._target)
        except (StoreError, OSError) as error:
            self._without_store(store_trouble(error))
            return
        if self._slot is not None and _is(self._slot.release.lead, target):
            self._failure = None
            await self._look_after(self._slot.release.lead)
        elif self._failure is None or self._failure.target != target or time.monotonic() >= self._failure.due:
            await self._take_up(target)

    def _target(self) -> AliasTarget:
        """What the alias means now. Raises NotInStore: if the alias, or the whole store, is missing."""
        alias = self._store.aliases.find(self._name, self._alias)
        if alias is None:
            self._store.names()  # raises NoStore if the whole store is gone
            raise NotInStore(f"no alias {self._name}@{self._alias}")
        return alias.target

    def _without_store(self, reason: str) -> None:
        """The alias cannot be read: what is loaded serves on."""
        if self._slot is None:
            self._set("absent", reason)
        else:
            self._set("serving", f"{self._slot.release.lead} serves from memory: {reason}")

    async def _look_after(self, lead: Version) -> None:
        try:
            await self._on_disk(lambda: lead.path(MANIFEST_FILE))
        except NotInStore:
            self._set("orphaned", f"{lead} serves from memory: it is no longer in the store")
        except (StoreError, OSError) as error:
            self._without_store(store_trouble(error))
        else:
            self._set("serving", "")

    async def _take_up(self, target: AliasTarget) -> None:
        present = self._slot.release.lead if self._slot else None
        self._set("preparing", f"{self._name}/{target.version} is being prepared{_beside(present)}")
        try:
            version = await self._on_disk(lambda: self._resolve(target))
            value = await self._prepare(version)
        except Exception as error:  # noqa: BLE001 - whatever refuses a version, the present release serves on
            self._note_failure(target, error)
            if self._falls_back and self._slot is None:
                await self._fall_back()
            return
        self._failure = None
        release = Release(lead=version, value=value)
        if await self._still_wanted(release, target):
            self._swap(release)
        else:
            self._retire_later(_Slot(release), None)

    async def _fall_back(self) -> None:
        """Serve the newest version of the alias's history that can be prepared, if there is one."""
        alias = await self._on_disk(lambda: self._store.aliases.read(self._name, self._alias))
        for target in alias.reachable[1:]:
            try:
                version = await self._on_disk(lambda target=target: self._resolve(target))  # type: ignore[misc]
                value = await self._prepare(version)
            except Exception as error:  # noqa: BLE001 - whatever refuses it, an earlier one may serve
                _log.warning(
                    "earlier version refused",
                    extra={"version": f"{self._name}/{target.version}", "reason": _line(error)},
                )
                continue
            self._swap(Release(lead=version, value=value))
            self._set_refused()
            return

    async def _still_wanted(self, release: Release[T], target: AliasTarget) -> bool:
        """Whether the alias means what was prepared; preparing may have taken minutes."""
        try:
            now = await self._on_disk(self._target)
        except (StoreError, OSError):
            return True
        except asyncio.CancelledError:
            self._retire_later(_Slot(release), None)
            raise
        return (now.version, now.digest) == (target.version, target.digest)

    def _resolve(self, target: AliasTarget) -> Version:
        """The version of a target. Raises RefusedModel: if its digest differs."""
        version = self._store.open(self._name, target.version)
        if version.digest != target.digest:
            raise RefusedModel(f"{version} is not the version that {self._name}@{self._alias} was moved to")
        return version

    def _note_failure(self, target: AliasTarget, error: Exception) -> None:
        last = self._failure
        count = last.count + 1 if last is not None and last.target == target else 1
        backoff = self._refused if isinstance(error, RefusedModel | StoreError) else self._failed
        due = time.monotonic() + backoff.delay(count)
        reason = _line(error)
        self._failure = _Failure(target=target, reason=reason, count=count, due=due)
        self._set_refused()
        if count == 1:
            _log.warning("version refused", extra={"model": self._name, "reason": reason}, exc_info=error)

    def _set_refused(self) -> None:
        failure, present = self._failure, self._slot.release.lead if self._slot else None
        assert failure is not None
        detail = f"{self._name}/{failure.target.version} is refused: {failure.reason}{_beside(present)}"
        self._set("refused", detail)

    def _swap(self, release: Release[T]) -> None:
        old, self._slot = self._slot, _Slot(release)
        self._swapped_at = time.time()
        self._set("serving", "")
        self._first.set()
        _log.info(
            "release swapped",
            extra={"from": str(old.release.lead) if old else None, "to": str(release.lead)},
        )
        if old is not None:
            self._retire_later(old, None)

    def _retire_later(self, slot: _Slot[T], drain_s: float | None) -> None:
        task = asyncio.create_task(self._retire_when_drained(slot, drain_s))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire_when_drained(self, slot: _Slot[T], drain_s: float | None) -> None:
        try:
            await asyncio.wait_for(slot.drained(), drain_s)
        except TimeoutError:
            _log.warning("release retired while held", extra={"version": str(slot.release.lead)})
        try:
            await self._retire(slot.release.value)
        except Exception:  # noqa: BLE001 - a release that fails to close must not take its keeper along
            _log.exception("release was not retired cleanly", extra={"version": str(slot.release.lead)})

    async def _on_disk(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _set(self, state: State, detail: str) -> None:
        if (state, detail) != (self._state, self._detail):
            extra = {
                "model": self._name,
                "alias": self._alias,
                "store": self._store.place,
                "state": state,
                "detail": detail,
            }
            _log.info("release state changed", extra=extra)
        self._state, self._detail = state, detail


def _is(version: Version, target: AliasTarget) -> bool:
    return (version.number, version.digest) == (target.version, target.digest)


def _beside(present: Version | None) -> str:
    return "" if present is None else f"; {present} serves"


def store_trouble(error: StoreError | OSError) -> str:
    """One line on why the store did not answer, without a path, since it is sent to callers."""
    return "the model store is not there" if isinstance(error, NoStore) else _line(error)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"a file cannot be read: {error.strerror}"  # without the path, which is in the log
    return first_line(error)
