"""A child process that may not take more memory or time than it is given."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WATCH_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a child left: its standard output and error, and why it failed, None when it did not."""

    output: bytes
    complaint: bytes
    failure: str | None


def run_watched(
    command: Sequence[str], given: bytes, *, home: Path, memory_bytes: int, timeout_s: float
) -> Outcome:
    """Run `command` in the folder `home` with `given` on its standard input, to its end or its bound.

    Resident memory is watched from here, every 20 ms. Neither RLIMIT_AS nor RLIMIT_DATA would do: CUDA
    and the runtime's arenas reserve far more address space than they touch, so a limit on it refuses
    good models before it stops bad ones.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=home, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        watch = _Watch(child, memory_bytes, timeout_s)
        output, complaint = child.communicate(given)
        failure = watch.join()
    if failure is None and child.returncode < 0:
        failure = f"the check died of {signal.Signals(-child.returncode).name}"
    return Outcome(output=output, complaint=complaint, failure=failure)


class _Watch:
    """Kills a child that takes too much memory or time, and remembers why."""

    def __init__(self, child: subprocess.Popen[bytes], memory_bytes: int, timeout_s: float) -> None:
        self._child = child
        self._memory_bytes = memory_bytes
        self._deadline = time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._reason: str | None = None
        self._thread = threading.Thread(target=self._watch, name="golden-watch", daemon=True)
        self._thread.start()

    def join(self) -> str | None:
        """Why the child was killed; None when it was not."""
        self._thread.join()
        return self._reason

    def _watch(self) -> None:
        while self._child.poll() is None:
            resident = _resident_bytes(self._child.pid)
            if resident > self._memory_bytes:
                self._kill(
                    f"the check took {resident >> 20} MiB, the bound is {self._memory_bytes >> 20} MiB"
                )
            elif time.monotonic() > self._deadline:
                self._kill(f"the check took more than {self._timeout_s:g} s")
            time.sleep(_WATCH_S)

    def _kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._child.kill()


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0  # the child is gone, or this system has no /proc: the time limit still holds
