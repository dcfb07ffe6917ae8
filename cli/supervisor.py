"""Runs the services as child processes: starts them, waits, restarts those that die, stops all in order."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from model_store.durable import Lock, LockHeld, acquire

_TAIL_LINES = 5
_LOCK = "supervisor.lock"
_SETTLED_S = 30.0
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A service to run: its name, which is also its module under `services`, and its settings.

    needs: services that must listen first; their addresses are handed on as ATELIER_<NAME>_ADDRESS.
    """

    name: str
    environment: Mapping[str, str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a running service listens."""

    grpc: str
    metrics: str


@dataclass(slots=True)
class _Child:
    spec: ServiceSpec
    process: subprocess.Popen[bytes]
    started_at: float
    # Where its part of the log begins, which is that of every start.
    log_offset: int = 0
    restarts: int = 0
    address: Address | None = None
    not_before: float = 0.0


class Supervisor:
    """A set of service processes, in the order they depend on each other.

    directory: where log files (`<name>.log`) and ready files go.
    """

    def __init__(self, specs: Sequence[ServiceSpec], directory: Path) -> None:
        self._specs = specs
        self._directory = directory
        self._children: dict[str, _Child] = {}
        self._lock: Lock | None = None

    def start(self, timeout_s: float = 60.0) -> dict[str, Address]:
        """Start every service and return where each listens.

        Raises CommandError: if a service exits or does not listen within `timeout_s`, after stopping all; if
        another supervisor holds the directory, before starting any.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._claim()
        try:
            deadline = time.monotonic() + timeout_s
            for spec in self._specs:
                self._children[spec.name] = self._spawn(spec, deadline)
            return {name: self._await_address(each, deadline) for name, each in self._children.items()}
        except BaseException:
            self.stop()
            raise

    def log(self, name: str) -> Path:
        """The log file of a service."""
        return self._directory / f"{name}.log"

    def process_id(self, name: str) -> int:
        """The process id of a service's present process."""
        return self._children[name].process.pid

    def watch(self, report: Callable[[str], None]) -> None:
        """Restart services that have died, later each time; to be called about once a second."""
        for child in list(self._children.values()):
            code = child.process.poll()
            if code is None or time.monotonic() < child.not_before:
                continue
            if child.not_before == 0.0:
                if time.monotonic() - child.started_at > _SETTLED_S:
                    child.restarts = 0
                wait = _restart_wait_s(child.restarts)
                child.not_before = time.monotonic() + wait
                name = child.spec.name
                report(f"{name} exited with {code}; restarting in {wait:.1f} s ({self.log(name)})")
                continue
            # What it needs has been waited for: the addresses are known, and the deadline is not looked at.
            replacement = self._spawn(child.spec, time.monotonic(), pinned=child.address)
            replacement.restarts = child.restarts + 1
            self._children[child.spec.name] = replacement

    def stop(self, timeout_s: float = 15.0) -> dict[str, int]:
        """Stop every service, each once those that need it are gone, and return the exit codes.

        A call that a service has accepted may still ask another: that one must answer until then.
        timeout_s: for services that stop at the same time, before they are killed.
        """
        left, codes = dict(self._children), dict[str, int]()
        while left:
            needed = {name for child in left.values() for name in child.spec.needs}
            free = [left.pop(name) for name in list(left) if name not in needed]
            codes |= _end(free, timeout_s)
        if self._lock is not None:
            self._lock.release()
        return codes

    def _claim(self) -> None:
        """Hold the directory: two supervisors would read each other's ready files."""
        try:
            self._lock = acquire(self._directory / _LOCK)
        except LockHeld as error:
            raise CommandError(
                f"services already run over {self._directory}, started by process {error.holder}",
                "stop them first, or pass another --data",
            ) from error

    def _spawn(self, spec: ServiceSpec, deadline: float, pinned: Address | None = None) -> _Child:
        ready = self._ready(spec.name)
        ready.unlink(missing_ok=True)
        environment = {**os.environ, **spec.environment, "ATELIER_READY_FILE": str(ready)}
        for name in spec.needs:
            address = self._await_address(self._children[name], deadline)
            environment[f"ATELIER_{name.upper()}_ADDRESS"] = address.grpc
        if pinned:  # a restarted service must come back where its clients look for it
            environment[f"ATELIER_{spec.name.upper()}_PORT"] = pinned.grpc.rpartition(":")[2]
        with self.log(spec.name).open("ab") as log:
            offset = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{spec.name}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        return _Child(
            spec=spec, process=process, started_at=time.monotonic(), log_offset=offset, address=pinned
        )

    def _await_address(self, child: _Child, deadline: float) -> Address:
        if child.address is not None:
            return child.address
        name = child.spec.name
        ready = self._ready(name)
        while not ready.exists():
            if child.process.poll() is not None:
                raise self._failure(child)
            if time.monotonic() > deadline:
                raise CommandError(f"{name} did not listen in time", self._tail(name))
            time.sleep(0.02)  # between two looks for a file, not for an event to have happened
        body = json.loads(ready.read_text())
        child.address = Address(grpc=_reachable(body["address"]), metrics=body.get("metrics_address") or "")
        return child.address

    def _ready(self, name: str) -> Path:
        return self._directory / f"{name}.ready.json"

    def _failure(self, child: _Child) -> CommandError:
        """Why a service did not start: the reason that it logged, else the end of its log."""
        name, code = child.spec.name, child.process.returncode
        for line in self.log(name).read_bytes()[child.log_offset :].decode(errors="replace").splitlines():
            reason = _logged_reason(line)
            if reason:
                hint = f"its log is {self.log(name)}"
                if "may be in use" in reason:
                    hint = f"stop what listens there, or let `--any-port` choose; {hint}"
                return CommandError(f"{name} cannot start: {reason}", hint)
        return CommandError(f"{name} exited with {code}", self._tail(name))

    def _tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"the end of {self.log(name)}:\n" + "\n".join(lines)


def _logged_reason(line: str) -> str:
    """The reason in a service's critical log line; empty for any other line."""
    try:
        body = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(body, dict) or body.get("level") != "critical":
        return ""
    return str(body.get("reason", ""))


def _reachable(address: str) -> str:
    """Where a service that listens everywhere is called: no certificate names the address of everywhere."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else address  # noqa: S104  # compared, not bound


def _restart_wait_s(restarts: int) -> float:
    return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(restarts, 16))


def _end(children: Sequence[_Child], timeout_s: float) -> dict[str, int]:
    """Stop some services together; kill those that take longer. Their exit codes."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
    return {child.spec.name: child.process.returncode for child in children}


def _die_with_parent() -> None:
    """In the child, before exec: have Linux end it when the supervisor is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
