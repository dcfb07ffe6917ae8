"""Services as child processes: claimed, stopped in order, restarted later each time."""

import os
import signal
import time
from pathlib import Path

import pytest

from cli import supervisor as supervisors
from cli.errors import CommandError
from cli.supervisor import ServiceSpec, Supervisor

# Listens at once, notes when it was told to stop, and takes a moment to do so.
SERVICE = """
import json, os, pathlib, signal, sys, time
def stop(*_):
    name = os.environ["NAME"]
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{name} told\\n")
    time.sleep(float(os.environ.get("TAKES_S", "0")))
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{name} gone\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
ready = pathlib.Path(os.environ["ATELIER_READY_FILE"])
staged = ready.with_suffix(".staged")
staged.write_text(json.dumps({"address": "127.0.0.1:1", "pid": os.getpid()}))
staged.replace(ready)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the services note; they are small scripts in a package `services` of their own."""
    package = tmp_path / "code" / "services"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("embedder", "ranker"):
        (package / f"{name}.py").write_text(SERVICE)
    (package / "broken.py").write_text("raise SystemExit(3)")
    (package / "refused.py").write_text(
        'print(\'{"level": "critical", "reason": "cannot listen on 1: it may be in use"}\')\n'
        "raise SystemExit(1)"
    )
    (package / "silent.py").write_text(
        "print('waiting for nothing', flush=True)\nimport time; time.sleep(60)"
    )
    monkeypatch.chdir(tmp_path / "code")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    return tmp_path / "notes"


def spec(name: str, notes: Path, *, needs: tuple[str, ...] = (), takes_s: float = 0.0) -> ServiceSpec:
    environment = {"NAME": name, "NOTES": str(notes), "TAKES_S": str(takes_s)}
    return ServiceSpec(name=name, environment=environment, needs=needs)


@pytest.mark.slow
def test_what_is_needed_is_stopped_last(notes: Path, tmp_path: Path) -> None:
    """A service hears of the end only when those that need it are gone: they finish accepted calls first."""
    # proves S-1
    specs = [spec("embedder", notes), spec("ranker", notes, needs=("embedder",), takes_s=0.3)]
    running = Supervisor(specs, tmp_path / "run")
    running.start()

    codes = running.stop()

    assert codes == {"ranker": 0, "embedder": 0}
    assert notes.read_text().split("\n")[:-1] == [
        "ranker told",
        "ranker gone",
        "embedder told",
        "embedder gone",
    ]


def test_a_directory_has_one_supervisor(notes: Path, tmp_path: Path) -> None:
    """A second supervisor is told who runs there, starts nothing and leaves the first one's files alone."""
    first = Supervisor([spec("embedder", notes)], tmp_path / "run")
    second = Supervisor([spec("embedder", notes)], tmp_path / "run")
    first.start()
    try:
        with pytest.raises(CommandError, match="services already run over") as caught:
            second.start()

        assert str(caught.value).endswith(f"{tmp_path / 'run'}, started by process {os.getpid()}")
        assert caught.value.hint == "stop them first, or pass another --data"

        assert (tmp_path / "run" / "embedder.ready.json").exists()
    finally:
        first.stop()
    second.start()
    assert second.stop() == {"embedder": 0}


@pytest.mark.slow
def test_a_service_that_does_not_listen_is_named(notes: Path, tmp_path: Path) -> None:
    """The hint ends with the last lines of its log; whatever was started is stopped."""
    running = Supervisor([spec("embedder", notes), spec("silent", notes)], tmp_path / "run")

    with pytest.raises(CommandError, match="silent did not listen in time") as caught:
        running.start(timeout_s=1.0)

    assert "silent.log" in caught.value.hint
    assert caught.value.hint.endswith("waiting for nothing")
    with pytest.raises(ProcessLookupError):
        os.kill(running.process_id("embedder"), 0)


def test_the_reason_that_a_service_logs_is_the_error(notes: Path, tmp_path: Path) -> None:
    """A port in use is one line with the remedy; the reason of an earlier start does not count."""
    with pytest.raises(CommandError, match="refused cannot start: cannot listen on 1: it may be") as caught:
        Supervisor([spec("refused", notes)], tmp_path / "run").start()

    assert "`--any-port`" in caught.value.hint
    (tmp_path / "run" / "broken.log").write_text('{"level": "critical", "reason": "long ago"}\n')
    with pytest.raises(CommandError, match="broken exited with 3"):
        Supervisor([spec("broken", notes)], tmp_path / "run").start()


def test_a_directory_is_free_again_after_a_failed_start(notes: Path, tmp_path: Path) -> None:
    """A service that exits at once fails the start; the next start may use the directory."""
    with pytest.raises(CommandError, match="broken exited with 3"):
        Supervisor([spec("broken", notes)], tmp_path / "run").start()

    again = Supervisor([spec("embedder", notes)], tmp_path / "run")
    again.start()
    assert again.stop() == {"embedder": 0}


@pytest.mark.slow
def test_restarts_come_later_each_time(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a dead service waits to be restarted does not count as time that it lived."""
    monkeypatch.setattr(supervisors, "_SETTLED_S", 1.0)
    monkeypatch.setattr(supervisors, "_FIRST_WAIT_S", 0.4)
    running = Supervisor([spec("embedder", notes)], tmp_path / "run")
    running.start()
    reported: list[str] = []
    try:
        while len(reported) < 4:
            running._children["embedder"].process.send_signal(signal.SIGKILL)
            running._children["embedder"].process.wait()
            while running._children["embedder"].process.poll() is not None:
                running.watch(reported.append)
                time.sleep(0.01)
    finally:
        running.stop()

    waits = [float(line.split("restarting in ")[1].split(" s")[0]) for line in reported]
    assert waits == [0.4, 0.8, 1.6, 3.2]


def test_the_longest_wait_is_bounded() -> None:
    """However often a service dies, the wait has an end."""
    assert supervisors._restart_wait_s(100_000) == supervisors._LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("listening", "called"),
    [
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "127.0.0.1:50051"),
        ("10.1.2.3:50051", "10.1.2.3:50051"),
    ],
)
def test_a_service_that_listens_everywhere_is_called_by_loopback(listening: str, called: str) -> None:
    """Its certificate names localhost, never 0.0.0.0, and a token goes to loopback alone without one."""
    assert supervisors._reachable(listening) == called
