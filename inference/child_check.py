"""A model's checks in a child process, so that a crafted graph that crashes or swells takes it alone (M-4).

`check_in_child` starts `python -m inference.child_check` and kills it once it exceeds its memory or time.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inference.errors import RefusedModel
from inference.golden import check_golden
from inference.runtimes.device import Provider, SessionSettings
from inference.runtimes.onnx import check_weights
from inference.session import open_session
from inference.signature import check_signature, graph_file
from model_store.item_vectors import check_item_vectors
from model_store.manifest import Manifest

MEMORY_BYTES: Final = 12 << 30
TIMEOUT_S: Final = 600.0
_WATCH_S: Final = 0.02

_log = logging.getLogger(__name__)


def check_in_child(
    directory: Path,
    manifest: Manifest,
    *,
    provider: Provider = "cpu",
    threads: int = 0,
    memory_bytes: int = MEMORY_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Run onnx.checker (for ONNX), the signature check and the whole golden set in a child process.

    Fits `ModelStore.publish` as `validate`. memory_bytes: bound of the child's resident memory.
    Files of item vectors hold nothing to run and are read here.
    Raises RefusedModel: naming the model and the file, with the child's one-line reason.
    Raises CorruptVersion: for files of item vectors that do not fit each other.
    """
    if manifest.kind == "vectors":
        # Nothing of it is run.
        check_item_vectors(directory, manifest)
        return
    graph = graph_file(manifest)
    command = [
        sys.executable,
        "-m",
        "inference.child_check",
        str(directory.resolve()),
        provider,
        str(threads),
    ]
    given = manifest.model_dump_json().encode()
    output, errors, failure = _run_watched(command, given, memory_bytes, timeout_s)
    reason = failure or _refusal(output)
    if reason is not None:
        tail = errors.decode(errors="replace")[-2000:]
        _log.warning("check in a child process failed", extra={"model": manifest.name, "stderr": tail})
        raise RefusedModel(f"{manifest.name}: {graph}: {reason}")


def _refusal(output: bytes) -> str | None:
    """Why a child that ended by itself refused the model; None if the model passed."""
    try:
        answer = json.loads(output)
        return None if answer["passed"] else str(answer["reason"])
    except (ValueError, KeyError, TypeError):
        return "the check ended without an answer"


def _run_watched(
    command: Sequence[str], given: bytes, memory_bytes: int, timeout_s: float
) -> tuple[bytes, bytes, str | None]:
    """Run `command` with `given` on its standard input; its output, its errors, and why it failed, if it did.

    Resident memory is watched from here, every 20 ms. Neither RLIMIT_AS nor RLIMIT_DATA would do: CUDA
    and the runtime's arenas reserve far more address space than they touch, so a limit on it refuses
    good models before it stops bad ones.
    """
    # The folder that holds this package, so that the child finds it wherever it is started.
    home, pipe = Path(__file__).resolve().parents[1], subprocess.PIPE
    started, failure = time.monotonic(), None
    with subprocess.Popen(command, cwd=home, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        unsent: bytes | None = given
        while True:
            try:
                output, errors = child.communicate(unsent, timeout=_WATCH_S)
                break
            except subprocess.TimeoutExpired:
                unsent = None  # the first call has taken it; the next ones go on where it stopped
            failure = failure or _excess(child.pid, memory_bytes, time.monotonic() - started, timeout_s)
            if failure:
                child.kill()
    if failure is None and child.returncode < 0:
        failure = f"the check died of {signal.Signals(-child.returncode).name}"
    return output, errors, failure


def _excess(pid: int, memory_bytes: int, taken_s: float, timeout_s: float) -> str | None:
    resident = _resident_bytes(pid)
    if resident > memory_bytes:
        return f"the check took {resident >> 20} MiB, the bound is {memory_bytes >> 20} MiB"
    return f"the check took more than {timeout_s:g} s" if taken_s > timeout_s else None


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0  # the child is gone, or this system has no /proc: the time limit still holds


def _run_checks(directory: Path, manifest: Manifest, settings: SessionSettings) -> None:
    path = directory / graph_file(manifest)
    if manifest.format == "onnx":
        check_weights(path, manifest)
    session = open_session(path, settings)
    check_signature(session, manifest)
    if manifest.golden is None:
        raise RefusedModel("there is no golden set")
    check_golden(session, manifest, directory / manifest.golden.file)


def main(arguments: list[str]) -> int:
    """Check DIRECTORY PROVIDER THREADS against the manifest on standard input; answer in one line of JSON."""
    # Native code writes where it likes: only the answer goes to the real standard output.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        manifest = Manifest.model_validate_json(sys.stdin.buffer.read())
        directory, provider, threads = arguments
        settings = SessionSettings(provider="cuda" if provider == "cuda" else "cpu", threads=int(threads))
        _run_checks(Path(directory), manifest, settings)
        result: dict[str, object] = {"passed": True}
    except Exception as error:  # noqa: BLE001 - the answer must say what went wrong, whatever it was
        _log.exception("the check failed")
        result = {"passed": False, "reason": str(error) or type(error).__name__}
    with answer:
        json.dump(result, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
