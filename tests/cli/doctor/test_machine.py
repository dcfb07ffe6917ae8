"""What the doctor says about a machine."""

import sys
from importlib import metadata

import pytest

from cli.doctor import machine
from cli.doctor.check import Check, worst
from cli.doctor.machine import check_machine
from inference.runtimes.device import CudaDevices


def by_name() -> dict[str, Check]:
    return {check.name: check for check in check_machine()}


def test_this_machine_is_fit() -> None:
    """Where the tests run, nothing fails, and versions are named."""
    checks = by_name()

    assert worst(checks.values()) != "fail"
    assert "grpcio " in checks["packages for serving"].detail
    assert "CPUExecutionProvider" in checks["device"].detail


@pytest.mark.parametrize(
    ("states", "expected"), [([], "ok"), (["ok", "warn"], "warn"), (["fail", "warn"], "fail")]
)
def test_the_worst_state_counts(states: list[str], expected: str) -> None:
    """One failure outweighs any number of warnings."""
    assert worst(Check(name="x", state=state, detail="") for state in states) == expected


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python below the supported ones fails with what to install."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))

    assert (by_name()["Python"].state, by_name()["Python"].remedy) == ("fail", "install Python 3.11 or newer")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that serving needs fails, one that only training needs does not; both are named."""

    def version(name: str) -> str:
        if name in ("hnswlib", "torch"):
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(machine, "version", version)
    checks = by_name()

    assert (checks["packages for serving"].state, checks["packages for training"].state) == ("fail", "ok")
    assert "hnswlib" in checks["packages for serving"].detail
    assert checks["packages for training"].detail == "not installed: torch; only training needs them"


def test_two_runtimes_in_one_folder_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime and onnxruntime-gpu overwrite each other's files."""
    monkeypatch.setattr(machine, "version", lambda _: "1")

    assert by_name()["packages"].state == "fail"


def test_what_is_not_compiled_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled library the remedy is a compiler."""
    monkeypatch.setitem(sys.modules, "vector_index.native", None)

    assert "C++ compiler" in by_name()["compiled parts"].remedy


@pytest.mark.parametrize(("reason", "state"), [("its libraries are missing", "warn"), ("", "ok")])
def test_a_gpu_that_is_not_used_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, reason: str, state: str
) -> None:
    """A GPU that the driver reports is tried; where graphs do not run on it, the reason is given."""
    monkeypatch.setattr(machine, "cuda_devices", lambda: CudaDevices(count=1, name="A GPU"))
    monkeypatch.setattr(machine, "missing_cuda", lambda _graph: reason)
    check = by_name()["device"]

    assert check.state == state
    assert "A GPU" in check.detail
    assert reason in check.detail


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a container counts, not the memory of its host."""
    monkeypatch.setattr(machine, "_limit_of_group", lambda: 1 << 30)
    check = by_name()["memory"]

    assert (check.state, check.detail) == ("warn", "1.0 GiB (limit of the container)")


def test_a_machine_without_a_browser_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tests need a browser."""
    monkeypatch.setattr(machine.shutil, "which", lambda _name: None)

    assert by_name()["browser"] == Check(
        name="browser", state="ok", detail="no Chromium; only the tests of the page need it"
    )
