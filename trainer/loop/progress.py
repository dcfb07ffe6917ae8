"""Progress of long work: a callback of stage, done, total and sometimes a note."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from tqdm import tqdm

# Seconds between two lines of a stage where there is no terminal.
LINE_EVERY_S = 60.0


class Progress(Protocol):
    """Takes the progress of a stage; `note` is the figure that matters most."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Report `done` of `total` steps of a stage."""


def silent(_stage: str, _done: int, _total: int, _note: str = "") -> None:
    """Discard it."""


@contextmanager
def bars(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """One bar a stage on a terminal; elsewhere, in a log, a line a minute of the stage under way.

    stream: standard error by default. clock: seconds.
    """
    stream = sys.stderr if stream is None else stream
    shown: _Bars | _Lines = _Bars(stream) if stream.isatty() else _Lines(stream, clock)
    try:
        yield shown.show
    finally:
        shown.close()


class _Bars:
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._stage = stream, ""
        self._bar: Any = None

    def show(self, stage: str, done: int, total: int, note: str = "") -> None:
        if self._bar is None or stage != self._stage:
            self.close()
            self._stage, self._bar = stage, tqdm(total=total, desc=stage, file=self._stream, leave=True)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream, self._clock = stream, clock
        self._stage = ""
        self._began = self._written = self._before = 0.0

    def show(self, stage: str, done: int, total: int, note: str = "") -> None:
        now = self._clock()
        if stage != self._stage:
            # What was done when a stage is first heard of was not done in its time.
            self._stage, self._began, self._written, self._before = stage, now, now, done
        if now - self._written < LINE_EVERY_S:
            return
        self._written = now
        parts = [f"{stage}: {done} of {total}", *([note] if note else [])]
        if done > self._before:
            left = (now - self._began) / (done - self._before) * (total - done)
            parts.append(f"{_duration(left)} left")
        self._stream.write(", ".join(parts) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing to do: lines stay as they are."""


def _duration(seconds: float) -> str:
    """In the unit that matters: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
