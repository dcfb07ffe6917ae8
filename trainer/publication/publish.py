"""Graphs into the model store: golden set, manifest, checks, alias (M-1, M-2, M-3).

A graph that the store already holds with the same meaning is not published again.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from inference.child_check import check_in_child
from inference.golden import write_golden
from inference.pixels import DEFAULT_LIMITS, ImageLimits
from model_store.aliases import CANDIDATE, PRODUCTION
from model_store.durable import hash_file
from model_store.errors import AliasConflict
from model_store.manifest import FileEntry, Manifest, Provenance
from model_store.store import Draft, ModelStore, Version
from trainer.publication.graphs import OPSET, Format, Graph, open_graph, run_rows, save_graph
from trainer.publication.stored_versions import is_whole, readable_versions

TOOLS = ("torch", "transformers", "open_clip_torch", "onnx", "onnxscript", "onnxruntime-gpu", "numpy")
UNIT_NORM = (0.999, 1.001)
# Beyond the norms of the golden outputs by this factor, a vector is taken for broken.
NORM_SLACK = 10.0
GOLDEN_FILE = "golden.npz"
# Under which metric an eight-bit version keeps what its gate measured.
FIDELITY = "fidelity"

# Of the largest number of an output: how far another processor's may be off in fewer bits.
_SLACK = {"int8": 2e-2, "fp16": 1e-2}

Notify = Callable[[str], None]


def discard(_line: str) -> None:
    """Discard a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTarget:
    """Where to publish and in which format. Without `alias`, `set_alias` chooses it.

    With `half` or `calibration`, folders of pictures, frozen networks are published in sixteen or eight bits
    too; `limits` bounds those pictures.
    """

    store: ModelStore
    alias: str | None = None
    form: Format = "onnx"
    calibration: Path | None = None
    half: Path | None = None
    limits: ImageLimits = DEFAULT_LIMITS
    notify: Notify = discard


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishableGraph:
    """A graph ready to be published.

    `fields` of its manifest: preprocessing and, where they apply, pooling, pixel_path, accepts,
    composed_of, calibration and metrics. Without `norm_range` it follows from the golden outputs.
    """

    name: str
    graph: Graph
    output: str
    golden_inputs: Mapping[str, np.ndarray]
    source: Provenance
    fields: Mapping[str, Any]
    norm_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of a model: its version, the alias that means it, if any, and whether it is new."""

    version: Version
    alias: str | None
    fresh: bool


def provenance_of(source: str, *, trained: bool, **origin: Any) -> Provenance:
    """Where a graph that this build makes comes from: now, with its commit and tools.

    origin: licence, data_version, seed, wandb_run and notes, where there are any.
    """
    notes = (*origin.pop("notes", ()), *(() if trained else ("untrained: weights are random",)))
    return Provenance(
        created_at=datetime.now(UTC),
        source=source,
        trained=trained,
        git_commit=_git_commit(),
        tools={name: installed(name) for name in TOOLS},
        notes=notes,
        **origin,
    )


def publish(model: PublishableGraph, target: PublishTarget, *, pointed: bool = True) -> Published:
    """Publish a model, or find the version that it is equal to, and set its alias.

    Without `pointed` no alias moves: for what only another version names.
    Raises RefusedModel: when its own checks fail; nothing of it is visible then.
    """
    with tempfile.TemporaryDirectory(prefix="atelier-") as place:
        directory = Path(place)
        files = save_graph(model.graph, directory)
        fields = _fields(model, files, directory / GOLDEN_FILE)
        with target.store.publishing(model.name):
            version = _find_equivalent(target.store, fields, files)
            fresh = version is None
            if version is None:
                target.notify(f"checking {model.name} in a child process")
                golden = {GOLDEN_FILE: directory / GOLDEN_FILE}
                draft = Draft(manifest=fields, graph=files, golden=golden, payload={})
                version = target.store.publish(draft, check_in_child)
    alias = set_alias(target.store, version, target.alias) if pointed else None
    target.notify(_sentence(version, alias, fresh=fresh))
    return Published(version=version, alias=alias, fresh=fresh)


def set_alias(store: ModelStore, version: Version, alias: str | None = None) -> str:
    """Make an alias mean `version` and return it.

    Without `alias`: `production` when the model has none yet or it means this version, else `candidate`.
    """
    if alias is None:
        present = store.aliases.find(version.name, PRODUCTION)
        if present is None or present.target.digest == version.digest:
            expect = 0 if present is None else None
            try:
                store.aliases.move(version.name, PRODUCTION, version.number, version.digest, expect=expect)
            except AliasConflict:
                pass
            else:
                return PRODUCTION
        alias = CANDIDATE
    store.aliases.move(version.name, alias, version.number, version.digest)
    return alias


def _fields(model: PublishableGraph, files: Mapping[str, Path], golden: Path) -> dict[str, Any]:
    """The manifest's fields except `files`; writes the golden set, recorded on the CPU."""
    form: Format = "torchscript" if isinstance(model.graph, bytes) else "onnx"
    session = open_graph(next(iter(files.values())))
    outputs = run_rows(session, model.golden_inputs)
    write_golden(golden, model.golden_inputs, outputs)
    peak = max(1.0, *(float(np.abs(array).max()) for array in outputs.values()))
    main = outputs[model.output]
    # Another processor may round a coarse step the other way: that is no damage.
    slack = _SLACK.get(model.fields.get("precision", "fp32"))
    atol = 2e-4 * peak if slack is None else slack * float(np.abs(main).max())
    return {
        "name": model.name,
        "format": form,
        "opset": OPSET if form == "onnx" else None,
        "inputs": [spec.model_dump() for spec in session.inputs],
        "outputs": [spec.model_dump() for spec in session.outputs],
        "output": model.output,
        "dimension": main.shape[1],
        "norm_range": model.norm_range or _norm_range(main),
        "golden": {"file": GOLDEN_FILE, "count": len(main), "atol": atol},
        "provenance": model.source,
        **model.fields,
    }


def _norm_range(vector_BD: np.ndarray) -> tuple[float, float]:
    norm_B = np.linalg.norm(vector_BD.astype(np.float64), axis=1)
    return float(norm_B.min() / NORM_SLACK), float(norm_B.max() * NORM_SLACK)


def _git_commit() -> str | None:
    """The commit of this checkout or, where there is none as in an image, the one that it was built from."""
    folder = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("GIT_COMMIT") or None
    return head.stdout.strip() or None


def _find_equivalent(
    store: ModelStore, fields: Mapping[str, Any], files: Mapping[str, Path]
) -> Version | None:
    """The newest version that computes the same function and means the same."""
    entries = {
        name: FileEntry(sha256=hash_file(path), size=path.stat().st_size, role="graph")
        for name, path in files.items()
    }
    wanted = Manifest.model_validate({**fields, "files": entries})
    same = (v for v in readable_versions(store, wanted.name) if _meaning(v.manifest) == _meaning(wanted))
    return next((version for version in same if is_whole(store, version)), None)


def _meaning(manifest: Manifest) -> tuple[Any, ...]:
    return (
        manifest.space_id,
        manifest.accepts,
        manifest.composed_of,
        manifest.calibration,
        manifest.pooling,
        manifest.derived_from,
        manifest.metrics.get("int8"),
        manifest.metrics.get("fp16"),
        manifest.provenance.trained,
        manifest.provenance.data_version,
    )


def _sentence(version: Version, alias: str | None, *, fresh: bool) -> str:
    state = "published" if fresh else "already there, equal in space and meaning"
    called = "" if version.manifest.provenance.trained else ", untrained"
    line = f"{version} {state}{called}"
    if alias is None:
        return line
    line += f"; {version.name}@{alias} means it"
    if alias == CANDIDATE:
        line += f"; to put it in service: atelier models promote {version.name} {version.number}"
    return line
