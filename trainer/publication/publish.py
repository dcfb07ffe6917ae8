"""Graphs into the model store: golden set, manifest, checks, alias (M-1, M-2, M-3).

A graph that the store already holds with the same meaning is not published again.
"""

import logging
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from inference.golden import check_in_child, write_golden
from model_store.aliases import CANDIDATE, PRODUCTION
from model_store.errors import AliasConflict, StoreError
from model_store.manifest import FileEntry, Manifest, Provenance, VersionReference
from model_store.store import Draft, ModelStore, Version, hash_file
from trainer.publication.graphs import OPSET, Format, Graph, format_of, open_graph, save_graph

TOOLS = ("torch", "transformers", "open_clip_torch", "onnx", "onnxscript", "onnxruntime-gpu", "numpy")
UNIT_NORM = (0.999, 1.001)
# Beyond the norms of the golden outputs by this factor, a vector is taken for broken.
NORM_SLACK = 10.0
GOLDEN_FILE = "golden.npz"
# Under which metric an eight-bit version keeps what its gate measured.
FIDELITY = "fidelity"

_log = logging.getLogger(__name__)

Tell = Callable[[str], None]


def quiet(_line: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where to publish and in which format. Without `alias`, see `point`.

    With `calibration`, a folder of pictures, frozen networks are published in eight bits too.
    """

    store: ModelStore
    alias: str | None = None
    form: Format = "onnx"
    calibration: Path | None = None
    tell: Tell = quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Where a graph comes from, for its provenance."""

    source: str
    trained: bool
    licence: str | None = None
    data_version: str | None = None
    seed: int | None = None
    wandb_run: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A graph ready to be published.

    `about` holds manifest fields: preprocessing and, where they apply, pooling, pixel_path, accepts,
    composed_of, calibration and metrics. Without `norm_range` it follows from the golden outputs.
    """

    name: str
    graph: Graph
    output: str
    golden_inputs: Mapping[str, np.ndarray]
    making: Making
    about: Mapping[str, Any]
    norm_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of a product: its version, the alias that means it, if any, and whether it is new."""

    version: Version
    alias: str | None
    fresh: bool
    metrics: Mapping[str, Any] = field(default_factory=dict)


def publish(product: Product, shelf: Shelf, *, pointed: bool = True) -> Published:
    """Publish a product, or find the version that it is equal to, and set its alias.

    Without `pointed` no alias moves: for what only another version names.
    Raises RefusedModel: when its own checks fail; nothing of it is visible then.
    """
    with tempfile.TemporaryDirectory(prefix="atelier-") as place:
        directory = Path(place)
        files = save_graph(product.graph, directory)
        fields = _fields(product, files, directory / GOLDEN_FILE)
        version = _twin(shelf.store, fields, files)
        fresh = version is None
        if version is None:
            shelf.tell(f"checking {product.name} in a child process")
            draft = Draft(
                manifest=fields, graph=files, golden={GOLDEN_FILE: directory / GOLDEN_FILE}, payload={}
            )
            version = shelf.store.publish(draft, check_in_child)
    alias = point(shelf.store, version, shelf.alias) if pointed else None
    shelf.tell(_sentence(version, alias, fresh=fresh))
    return Published(version=version, alias=alias, fresh=fresh, metrics=version.manifest.metrics)


def point(store: ModelStore, version: Version, alias: str | None = None) -> str:
    """Make an alias mean `version` and return it.

    Without `alias`: `production` when the model has none yet or it means this version, else `candidate`.
    """
    if alias is None:
        present = store.aliases.find(version.name, PRODUCTION)
        alias = PRODUCTION if present is None or present.target.digest == version.digest else CANDIDATE
        if alias == PRODUCTION:
            try:
                store.aliases.move(
                    version.name,
                    PRODUCTION,
                    version.number,
                    version.digest,
                    expect=0 if present is None else None,
                )
            except AliasConflict:
                alias = CANDIDATE
            else:
                return PRODUCTION
    store.aliases.move(version.name, alias, version.number, version.digest)
    return alias


def find_version(store: ModelStore, name: str, space_id: str) -> Version | None:
    """The newest version of a model that has this space, also one that no alias reaches."""
    return next((version for version in readable_versions(store, name) if version.space_id == space_id), None)


def reference(version: Version) -> VersionReference:
    """How another manifest names this version."""
    return VersionReference(name=version.name, version=version.number, digest=version.digest)


def _fields(product: Product, files: Mapping[str, Path], golden: Path) -> dict[str, Any]:
    """The manifest's fields except `files`; writes the golden set, recorded on the CPU."""
    form = format_of(product.graph)
    session = open_graph(next(iter(files.values())))
    outputs = _rows(session.run, product.golden_inputs)
    write_golden(golden, product.golden_inputs, outputs)
    peak = max(1.0, *(float(np.abs(array).max()) for array in outputs.values()))
    main = outputs[product.output]
    # A step of eight bits that falls to the other side on another processor is no broken graph.
    eight_bits = product.about.get("precision") == "int8"
    atol = 2e-2 * float(np.abs(main).max()) if eight_bits else 2e-4 * peak
    return {
        "name": product.name,
        "format": form,
        "opset": OPSET if form == "onnx" else None,
        "inputs": [spec.model_dump() for spec in session.inputs],
        "outputs": [spec.model_dump() for spec in session.outputs],
        "output": product.output,
        "dimension": main.shape[1],
        "norm_range": product.norm_range or _norm_range(main),
        "golden": {"file": GOLDEN_FILE, "count": len(main), "atol": atol},
        "provenance": _provenance(product.making),
        **product.about,
    }


def _rows(
    run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of one row at a time, as the golden check runs them."""
    count = len(next(iter(inputs.values())))
    rows = [run({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _norm_range(vector_BD: np.ndarray) -> tuple[float, float]:
    norm_B = np.linalg.norm(vector_BD.astype(np.float64), axis=1)
    return float(norm_B.min() / NORM_SLACK), float(norm_B.max() * NORM_SLACK)


def _provenance(making: Making) -> Provenance:
    return Provenance(
        created_at=datetime.now(UTC),
        source=making.source,
        trained=making.trained,
        git_commit=_git_commit(),
        data_version=making.data_version,
        seed=making.seed,
        wandb_run=making.wandb_run,
        licence=making.licence,
        tools={name: installed(name) for name in TOOLS},
        notes=making.notes if making.trained else (*making.notes, "untrained: weights are random"),
    )


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[1]
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _twin(store: ModelStore, fields: Mapping[str, Any], files: Mapping[str, Path]) -> Version | None:
    """The newest version that computes the same function and means the same."""
    entries = {
        name: FileEntry(sha256=hash_file(path), size=path.stat().st_size, role="graph")
        for name, path in files.items()
    }
    wanted = Manifest.model_validate({**fields, "files": entries})
    same = (v for v in readable_versions(store, wanted.name) if _meaning(v.manifest) == _meaning(wanted))
    return next((version for version in same if is_whole(store, version)), None)


def readable_versions(store: ModelStore, name: str) -> Iterator[Version]:
    """The versions of a model whose manifest is whole, newest first."""
    for number in reversed(store.numbers(name)):
        try:
            yield store.open(name, number)
        except StoreError:
            _log.warning("version left out: its manifest is damaged", extra={"model": f"{name}/{number}"})


def is_whole(store: ModelStore, version: Version) -> bool:
    """Whether every file of a version is what was published. A damaged one is no twin of anything:
    publishing again is what mends it.
    """
    try:
        store.verify(version)
    except StoreError:
        return False
    return True


def _meaning(manifest: Manifest) -> tuple[Any, ...]:
    return (
        manifest.space_id,
        manifest.accepts,
        manifest.composed_of,
        manifest.calibration,
        manifest.pooling,
        manifest.derived_from,
        manifest.metrics.get("int8"),
        manifest.provenance.trained,
        manifest.provenance.data_version,
    )


def _sentence(version: Version, alias: str | None, *, fresh: bool) -> str:
    state = "published" if fresh else "already there, same space"
    called = "" if version.manifest.provenance.trained else ", untrained"
    line = f"{version} {state}{called}"
    if alias is None:
        return line
    line += f"; {version.name}@{alias} means it"
    if alias == CANDIDATE:
        line += f"; to put it in service: atelier models promote {version.name} {version.number}"
    return line
