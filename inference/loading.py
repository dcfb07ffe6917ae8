"""Loading: a published version becomes a session only after its hashes and golden inputs hold (M-4)."""

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from inference.child_check import check_in_child
from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel, UnsupportedFormat
from inference.golden import check_golden
from inference.pixels import PIXEL_PATH
from inference.runtimes.device import CPU, CUDA, SessionSettings, cuda_devices, device_name
from inference.session import Session, open_session, runtime_version
from inference.signature import check_signature, graph_file
from model_store.durable import write_text
from model_store.errors import StoreError
from model_store.manifest import ImagePreprocessing, Manifest
from model_store.store import ModelStore, Version

GOLDEN_AT_LOAD: Final = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A version whose files are verified, and its session."""

    version: Version
    session: Session

    @property
    def manifest(self) -> Manifest:
        """The manifest of the version."""
        return self.version.manifest


def load_model(
    store: ModelStore, version: Version, *, session: SessionSettings, stamps: Path | None
) -> LoadedModel:
    """A version, verified and ready to run.

    Hashes every file and runs two golden inputs in this process on the real provider. If `stamps` has no
    pass for this (space, provider, runtime, device), a child process runs the whole golden set first;
    without a `stamps` directory it does so every time.
    Raises RefusedModel: naming the model, the version and the file.
    Raises UnsupportedFormat: for a format that needs an extra, naming the model and the extra.
    Raises DeviceOutOfMemory: if the device is full.
    """
    manifest = version.manifest
    runtime = _check_supported(version)
    try:
        store.verify(version)
        graph = version.path(graph_file(manifest))
        stamp = None if stamps is None else stamps / _stamp_name(version, session, runtime)
        if stamp is None or not stamp.is_file():
            check_in_child(graph.parent, manifest, provider=_provider(session), threads=session.threads)
        opened = open_session(graph, session)
        check_signature(opened, manifest)
        assert manifest.golden is not None
        check_golden(opened, manifest, version.path(manifest.golden.file), GOLDEN_AT_LOAD)
    except DeviceOutOfMemory:
        raise
    except (StoreError, InferenceError) as error:
        raise RefusedModel(_naming(version, str(error))) from error
    if stamp is not None and not stamp.is_file():
        _write_stamp(stamp, version, opened)
    return LoadedModel(version=version, session=opened)


def _check_supported(version: Version) -> str:
    """The version of the runtime that will run it."""
    manifest = version.manifest
    if manifest.kind != "graph" or manifest.format == "none":
        raise RefusedModel(f"{version} is of the kind {manifest.kind}: it has no graph to run")
    try:
        runtime = runtime_version(manifest.format)
    except UnsupportedFormat as error:
        raise UnsupportedFormat(_naming(version, str(error))) from error
    if isinstance(manifest.preprocessing, ImagePreprocessing) and manifest.pixel_path != PIXEL_PATH:
        raise RefusedModel(
            f"{version} was made with pixel path {manifest.pixel_path}, this build has {PIXEL_PATH}"
        )
    if manifest.golden is None:
        raise RefusedModel(f"{version} has no golden set")
    return runtime


def _naming(version: Version, reason: str) -> str:
    """`reason` with the version in front, unless it begins with the version."""
    plain = reason.removeprefix(f"{version.name}: ")
    return plain if plain.startswith(str(version)) else f"{version}: {plain}"


def _provider(settings: SessionSettings) -> Literal["cpu", "cuda"]:
    """Where a session of these settings will run, by the devices that the driver reports."""
    return "cuda" if settings.provider != "cpu" and cuda_devices().count else "cpu"


def _stamp_name(version: Version, settings: SessionSettings, runtime: str) -> str:
    provider = CUDA if _provider(settings) == "cuda" else CPU
    parts = (version.space_id, provider, runtime, device_name(provider))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32] + ".json"


def _write_stamp(path: Path, version: Version, session: Session) -> None:
    """Record a pass; if it cannot be written, the next load only takes longer."""
    body = {
        "version": str(version),
        "space_id": version.space_id,
        "provider": session.actual,
        "runtime": session.runtime,
        "device": device_name(session.actual),
        "passed_at": datetime.now(UTC).isoformat(),
    }
    try:
        write_text(path, json.dumps(body, indent=2) + "\n", sync=False)
    except OSError as error:
        _log.warning(
            "pass stamp could not be written",
            extra={"model": str(version), "reason": error.strerror or type(error).__name__},
        )
