"""A value read from files, and read again when they change."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge

from services.runtime.security import BadSecurity

T = TypeVar("T")

_log = logging.getLogger(__name__)


class ReloadedFile(Generic[T]):
    """The value of one or several files. Files that turn bad leave the last good value in use.

    read: makes the value; raises BadSecurity if the files cannot be used.
    check_every_s: how long a look at the files counts.
    Raises BadSecurity: if the files cannot be used to begin with.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], *, check_every_s: float = 0.0) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._check_every_s = check_every_s
        self._checked_at = time.monotonic()
        self._stamps = self._look()
        self.value = read()
        self.is_stale = False

    def measure(self, registry: CollectorRegistry, name: str, help_text: str) -> None:
        """Register a gauge that is 1 while changed files are not used because they are bad."""
        Gauge(name, help_text, registry=registry).set_function(lambda: float(self.is_stale))

    def refresh(self) -> bool:
        """Read the files again if they changed. Returns whether `value` is a new one."""
        if time.monotonic() - self._checked_at < self._check_every_s:
            return False
        self._checked_at = time.monotonic()
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:
            self.value = self._read()
        except BadSecurity as error:
            self.is_stale = True
            _log.error("a changed file is not used", extra={"reason": str(error)})
            return False
        self.is_stale = False
        return True

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
