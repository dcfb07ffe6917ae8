"""What a machine must have: Python, packages, a device, memory, fonts, a browser."""

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from cli.doctor.check import Check
from cli.up import missing_cuda
from inference.errors import InferenceError
from inference.runtimes.device import cores, cuda_devices
from inference.signature import graph_file

_OLDEST: Final = (3, 11)
_GIB: Final = 1 << 30
# Without a large backbone the three services and a catalog of 100,000 items fit into this.
_MEMORY: Final = 2 * _GIB
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_SERVING: Final = ("grpcio", "protobuf", "onnxruntime", "hnswlib", "sqlalchemy")
_TRAINING: Final = ("torch", "lightning", "transformers", "open_clip_torch")


def check_machine() -> Iterator[Check]:
    """Everything that does not depend on settings or data."""
    yield _python()
    yield _native()
    yield from _packages()
    yield _device()
    yield _memory()
    yield _browser()


def _python() -> Check:
    versions = f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    detail = f"{versions}, {platform.platform()}: {sys.executable}"
    if sys.version_info < _OLDEST:
        return Check(name="Python", state="fail", detail=detail, remedy="install Python 3.11 or newer")
    return Check(name="Python", state="ok", detail=detail)


def _native() -> Check:
    try:
        import_module("vector_index.native")
        import_module("hnswlib")
    except (ImportError, OSError) as error:
        return Check(
            name="compiled parts",
            state="fail",
            detail=str(error),
            remedy="install a C++ compiler (Debian: apt-get install g++), then `make install`",
        )
    return Check(name="compiled parts", state="ok", detail="the index and its searches load")


def _packages() -> Iterator[Check]:
    # Both are one library and share a folder; the distribution with CUDA has another name.
    runtimes = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(runtimes) > 1:
        yield Check(
            name="packages",
            state="fail",
            detail="onnxruntime and onnxruntime-gpu are both installed: one overwrites files of the other",
            remedy="pip uninstall onnxruntime onnxruntime-gpu, then `make install` or `make serving`",
        )
    wanted = [name for name in _SERVING if name != "onnxruntime"] + (runtimes or ["onnxruntime"])
    missing = [name for name in wanted if not _version(name)]
    if missing:
        yield Check(
            name="packages for serving",
            state="fail",
            detail=f"not installed: {', '.join(missing)}",
            remedy="`make serving`, or pip install -e '.[serve]'",
        )
    else:
        yield Check(name="packages for serving", state="ok", detail=_versions(wanted))
    lacking = [name for name in _TRAINING if not _version(name)]
    detail = (
        f"not installed: {', '.join(lacking)}; only training needs them" if lacking else _versions(_TRAINING)
    )
    yield Check(name="packages for training", state="ok", detail=detail)


def _device() -> Check:
    # Imported here: what is missing is named by the checks before.
    try:
        from onnxruntime import get_available_providers

        from cli.default_models import packaged

        providers = ", ".join(get_available_providers())
        devices = cuda_devices()
        if not devices.count:
            return Check(name="device", state="ok", detail=f"CPU, {cores()} cores; providers: {providers}")
        model = packaged().resolve("artwork-backbone")
        reason = missing_cuda(model.path(graph_file(model.manifest)))
    except (ImportError, InferenceError) as error:
        return Check(
            name="device", state="fail", detail=str(error), remedy="`make serving` installs a runtime"
        )
    if reason:
        return Check(
            name="device",
            state="warn",
            detail=f"{devices.name} is not used: {reason}; providers: {providers}",
            remedy="install the extra serve-gpu (requirements/serve-gpu.txt), CUDA and cuDNN",
        )
    return Check(name="device", state="ok", detail=f"{devices.name}, CUDA works; providers: {providers}")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit_of_group()
    usable = total if limit is None else min(total, limit)
    detail = f"{usable / _GIB:.1f} GiB" + ("" if usable == total else " (limit of the container)")
    if usable < _MEMORY:
        remedy = "leave out services that are not used, or give the machine 2 GiB"
        return Check(name="memory", state="warn", detail=detail, remedy=remedy)
    return Check(name="memory", state="ok", detail=detail)


def _limit_of_group() -> int | None:
    """The most memory that the control group of this process may use; None where it has no limit."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return None


def _browser() -> Check:
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    detail = path or "no Chromium; only the tests of the page need it"
    return Check(name="browser", state="ok", detail=detail)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _versions(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in names)
