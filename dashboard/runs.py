"""The runs below a folder: listed a page at a time, read whole, with the pictures that they name (D-1).

A run is a folder with `results/run.json`; it may lie inside another one. Links are not followed, hidden
folders not entered, and no id or name leads out of the folder of runs.
"""

import base64
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from dashboard.document import MOST_POINTS, SCHEMA_VERSION, DashboardDocument, LossCurve, RunHeader, RunState
from dashboard.errors import DashboardError, InvalidRunRequest, RunNotFound, UnreadableDashboard
from dashboard.run_files import HEADER_FILE, LOCK_FILE, RESULTS, document_path, header_path, lock_path
from dashboard.thinning import thin
from model_store.durable import is_locked

MOST_ON_A_PAGE: Final = 200
# Folders that hold no runs however deep a tree of runs is.
_NO_RUNS: Final = frozenset({RESULTS, "checkpoints", "logs", "wandb", "models"})
_DEEPEST: Final = 6
_JSON_BYTES, _PICTURE_BYTES = 32 << 20, 16 << 20
_MEDIA_TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}

Shown = TypeVar("Shown", bound=BaseModel)


class RunSummary(RunHeader):
    """A run in a list. `run_id`: its folder below the folder of runs, with "/" between names.

    problem: why its header cannot be read; its kind is then "unknown".
    """

    run_id: str
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Runs, the one that wrote last first; `next_page_token` is empty on the last page."""

    runs: tuple[RunSummary, ...]
    next_page_token: str
    total_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPicture:
    """A picture of a run."""

    content: bytes
    media_type: str
    modified_ns: int


class RunCatalogue:
    """The runs below `root`, which need not exist. Safe to share between threads: it keeps nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def page(self, *, page_size: int = 50, page_token: str = "") -> RunPage:
        """Runs by the time of their last writing, newest first.

        Raises InvalidRunRequest: for a page size out of 1 … 200, or a token that no page gave.
        """
        if not 1 <= page_size <= MOST_ON_A_PAGE:
            raise InvalidRunRequest(f"page_size {page_size}: 1 to {MOST_ON_A_PAGE}")
        after = _read_token(page_token)
        places = sorted((-written_ns, run_id) for run_id, written_ns in self._walk())
        left = [place for place in places if after is None or place > after]
        shown = left[:page_size]
        return RunPage(
            runs=tuple(self._summary(run_id, -age) for age, run_id in shown),
            next_page_token=_make_token(shown[-1]) if len(left) > len(shown) else "",
            total_count=len(places),
        )

    def read(self, run_id: str, *, points: int = MOST_POINTS) -> DashboardDocument:
        """The document of a run with at most so many points a curve, its state as it is now.

        Raises RunNotFound, UnreadableDashboard. Raises InvalidRunRequest: for an id that is no path of a run,
        or `points` out of 2 … 2,000, or too few to keep the extremes of every curve.
        """
        if not 2 <= points <= MOST_POINTS:
            raise InvalidRunRequest(f"points {points}: 2 to {MOST_POINTS}")
        folder = self._folder(run_id)
        document = _read(document_path(folder), DashboardDocument, run_id)
        state = _state_now(document.run.state, folder, run_id)
        return document.model_copy(
            update={
                "run": document.run.model_copy(update={"state": state}),
                "loss_curve": _thinned(document.loss_curve, points),
            }
        )

    def picture(self, run_id: str, name: str) -> RunPicture:
        """A picture that the document of a run names; `name` is its path relative to the run's folder.

        Raises RunNotFound: if the document does not name it, or it is no plain file. Raises
        UnreadableDashboard: if it is too large.
        """
        folder = self._folder(run_id)
        document = _read(document_path(folder), DashboardDocument, run_id)
        media_type = _MEDIA_TYPES.get(PurePosixPath(name).suffix)
        if media_type is None or name not in document.pictures():
            raise RunNotFound(f"run {run_id!r} names no picture {name!r}")
        path = self._inside(folder, _parts(name, "picture"))
        content, modified_ns = _read_plain(path, _PICTURE_BYTES, f"picture {name!r} of run {run_id!r}")
        return RunPicture(content=content, media_type=media_type, modified_ns=modified_ns)

    def _walk(self) -> Iterator[tuple[str, int]]:
        """Ids of runs with the time of their last writing, in nanoseconds."""
        folders = [(self.root.as_posix(), "", 0)]
        while folders:
            folder, run_id, depth = folders.pop()
            for name in _subfolders(folder):
                inner, inner_id = f"{folder}/{name}", f"{run_id}/{name}" if run_id else name
                try:
                    written = os.lstat(f"{inner}/{RESULTS}/{HEADER_FILE}")
                except OSError:
                    pass
                else:
                    yield inner_id, written.st_mtime_ns
                if depth < _DEEPEST:
                    folders.append((inner, inner_id, depth + 1))

    def _summary(self, run_id: str, written_ns: int) -> RunSummary:
        try:
            folder = self._folder(run_id)
            header = _read(header_path(folder), RunHeader, run_id)
            state = _state_now(header.state, folder, run_id)
        except DashboardError as error:
            at = datetime.fromtimestamp(written_ns / 1e9, UTC)
            return RunSummary(
                run_id=run_id,
                kind="unknown",
                state="failed",
                started_at=at,
                updated_at=at,
                epoch=0,
                max_epochs=0,
                problem=str(error),
            )
        return RunSummary(run_id=run_id, **header.model_dump() | {"state": state})

    def _folder(self, run_id: str) -> Path:
        """The folder of a run whose results lie in no link."""
        return self._inside(self.root, (*_parts(run_id, "run_id"), RESULTS)).parent

    def _inside(self, folder: Path, parts: tuple[str, ...]) -> Path:
        """A path below a folder. Raises RunNotFound: if one of its names is a link."""
        path = folder
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise RunNotFound(f"{'/'.join(parts)!r} is a link, and links are not followed")
        return path


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry.name
                for entry in entries
                if entry.name not in _NO_RUNS
                and not entry.name.startswith(".")
                and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        # Deleted since it was listed, or not ours to read: it shows no runs.
        return []


def _parts(path: str, what: str) -> tuple[str, ...]:
    """The names of a relative path. Raises InvalidRunRequest: for one that is not plain."""
    parts = tuple(path.split("/"))
    if (
        len(path) > 1_000
        or not path.isprintable()
        or any(not part or part.startswith(".") or "\\" in part or len(part.encode()) > 255 for part in parts)
    ):
        raise InvalidRunRequest(
            f"{what} {path[:100]!r}: names separated by '/', none of them empty or hidden"
        )
    return parts


def _read(path: Path, kind: type[Shown], run_id: str) -> Shown:
    content, _ = _read_plain(path, _JSON_BYTES, f"run {run_id!r}")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableDashboard(f"run {run_id!r}: {path.name} {_problem(error)}") from error


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"is not of schema version {SCHEMA_VERSION}: {where} {first['msg']}"


def _read_plain(path: Path, most: int, what: str) -> tuple[bytes, int]:
    """The bytes of a plain file and when it was written; never of a link, a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise RunNotFound(f"{what} does not exist") from error
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RunNotFound(f"{what} does not exist")
        if status.st_size > most:
            raise UnreadableDashboard(f"{what}: {path.name} holds {status.st_size} bytes, {most} at most")
        return stream.read(most), status.st_mtime_ns


def _state_now(written: RunState, folder: Path, run_id: str) -> RunState:
    """What a run is doing: one that says "running" without a process behind it was interrupted.

    Raises UnreadableDashboard: if its lock cannot be opened, as a link.
    """
    try:
        return "interrupted" if written == "running" and not is_locked(lock_path(folder)) else written
    except OSError as error:
        reason = f"{LOCK_FILE} cannot be opened: {error.strerror}"
        raise UnreadableDashboard(f"run {run_id!r}: {reason}") from error


def _thinned(curve: LossCurve, points: int) -> LossCurve:
    if len(curve.epochs) <= points:
        return curve
    series_SN = np.array(list(curve.series.values()), dtype=np.float64).reshape(-1, len(curve.epochs))
    try:
        kept = thin(np.array(curve.epochs), series_SN, points).tolist()
    except ValueError as error:
        raise InvalidRunRequest(f"points {points}: {error}") from error
    return LossCurve(
        epochs=[curve.epochs[index] for index in kept],
        series={name: [values[index] for index in kept] for name, values in curve.series.items()},
    )


def _make_token(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(f"{place[0]} {place[1]}".encode()).decode()


def _read_token(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    try:
        written, _, run_id = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition(" ")
        return int(written), run_id
    except ValueError as error:
        raise InvalidRunRequest(f"page_token {token[:60]!r} was not given by a page of runs") from error
