"""A run over a table of items: fit, transform, index, report, publish (I-1 … I-7)."""

import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from dashboard.recorder import recording
from model_store.durable import write_text
from model_store.item_vectors import PIPELINE_FILE
from model_store.manifest import Provenance
from trainer.items.config import ItemsConfig
from trainer.items.features.metadata import ItemMetadata, read_item_metadata
from trainer.items.features.pipeline import FittedPipeline
from trainer.items.features.table import FeatureTable, data_version
from trainer.items.previous import PreviousRun
from trainer.items.results.index import extend_hnsw_index, measure_recall, save_hnsw_index, train_hnsw_index
from trainer.items.results.outputs import INDEX_FILE, PROJECTOR_FOLDER, RunOutputs
from trainer.items.results.projector import export_tb_projector
from trainer.items.results.publication import describe_origin, publish_items
from trainer.items.results.report import (
    EXPLAINED_FILE,
    MAP_FILE,
    MARKDOWN_FILE,
    ShownItems,
    draw_explained,
    draw_map,
    markdown_of,
    sample_neighbours,
    sample_rows,
)
from trainer.items.results.run_log import run_log
from trainer.items.showing import ItemsBoard
from trainer.items.vectorise import VectorisedTable, vectorise_table
from trainer.loop.board import dotted
from trainer.loop.run_folder import claimed
from trainer.publication.publish import Notify, Published, PublishTarget, discard
from trainer.workspace import Workspace

# Of the vectors in the index: above it, building everything again makes search faster.
_MANY_TOMBSTONES = 0.2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsReport:
    """What a run made; `body` is `training_metadata.json`."""

    published: Published
    folder: Path
    body: dict[str, Any]


def train_items(
    config: ItemsConfig,
    space: Workspace,
    *,
    incremental: bool = False,
    overwrite: bool = False,
    alias: str | None = None,
    notify: Notify = discard,
) -> ItemsReport:
    """Make vectors of a table of items, publish them as `items`, and leave the results under `space.out`.

    Writes `models/` and `logs/`, see `outputs` and `run_log`; with a failure or a kill at any moment,
    `models/` stays as it was. The same table, settings and seed give the same vectors.
    incremental: keep pipeline, vectors and index of the run before, and transform new and changed rows.
    overwrite: replace the run before by one that begins anew.
    Raises InvalidData: when table or metadata cannot be used. Raises InvalidCheckpoint: when there is no run
    to add to, or it is damaged or had other settings. Raises RunExists: when there is one, and it is to be
    neither added to nor replaced. Raises FolderInUse: when another run writes there.
    Raises OSError: when a result cannot be written, naming it.
    """
    outputs = RunOutputs(space.out / config.output.models)
    metadata = read_item_metadata(config.input.metadata)
    table = FeatureTable(config.input.features, config)
    with claimed(outputs.folder), run_log(space.out / config.output.logs):
        if not (incremental or overwrite):
            outputs.check_unused()
        previous = PreviousRun.open(outputs) if incremental else None
        if previous is not None:
            previous.check(table.columns, config.deciding())
        settings = dotted(config.model_dump(mode="json"))
        with outputs.staging() as staged, recording(space.out, "items", settings) as recorder:
            target = PublishTarget(store=space.store, alias=alias, notify=notify)
            board = ItemsBoard(recorder, len(table.item_ids))
            run = _ItemsRun(config, table, metadata, previous, staged, space, board)
            return run.train(outputs, target)


@dataclass(frozen=True, kw_only=True)
class _Index:
    """The index with how many of its vectors are deleted."""

    graph: hnswlib.Index
    tombstones: int

    @property
    def share(self) -> float:
        return self.tombstones / int(self.graph.get_current_count())


@dataclass
class _Stopwatch:
    """Seconds by stage."""

    board: ItemsBoard
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        self.board.enter(name)
        yield
        self.seconds[name] = round(time.monotonic() - begun, 2)
        _log.info(
            "stage finished", extra={"stage": name, "seconds": self.seconds[name], "peak_mib": _peak_mib()}
        )

    def all(self) -> dict[str, float]:
        return {**self.seconds, "all": round(time.monotonic() - self.started, 2)}


class _ItemsRun:
    def __init__(
        self,
        config: ItemsConfig,
        table: FeatureTable,
        metadata: ItemMetadata,
        previous: PreviousRun | None,
        staged: Path,
        space: Workspace,
        board: ItemsBoard,
    ) -> None:
        self.config, self.table, self.metadata, self.previous = config, table, metadata, previous
        self.staged, self.space, self.board, self.watch = staged, space, board, _Stopwatch(board)

    def train(self, outputs: RunOutputs, target: PublishTarget) -> ItemsReport:
        watch = self.watch
        with watch.stage("fit"):
            pipeline = self._pipeline()
            pipeline.save(self.staged / PIPELINE_FILE)
        with watch.stage("vectors"):
            vectors = vectorise_table(
                self.table, self.metadata, pipeline, self.staged, self.previous, self.space.progress
            )
        with watch.stage("index"):
            index = self._index(vectors)
            save_hnsw_index(index.graph, self.staged / INDEX_FILE)
        items = ShownItems.read(self.staged)
        if self.config.projector.enabled:
            with watch.stage("projector"):
                self._project(vectors, items)
        with watch.stage("report"):
            body = self._body(pipeline, vectors, index, items)
            self.board.show_results(body, vectors)
            draw_map(vectors, items, self.config, self.staged / MAP_FILE)
            draw_explained(pipeline.projection.explained, self.staged / EXPLAINED_FILE)
        with watch.stage("publish"):
            published = self._publish(body, target)
        return self._finish(outputs, published, body)

    def _pipeline(self) -> FittedPipeline:
        if self.previous is not None:
            return self.previous.pipeline
        row_N = sample_rows(len(self.table.item_ids), self.config.projection.fit_rows, self.config.seed)
        pipeline = FittedPipeline.fit(self.table.rows(row_N), self.config, self.metadata.domain_weights)
        if pipeline.dimension < self.config.projection.dimension:
            _log.warning(
                "fewer dimensions than asked for: the features have no more",
                extra={"dimension": pipeline.dimension, "asked_for": self.config.projection.dimension},
            )
        return pipeline

    def _index(self, vectors: VectorisedTable) -> _Index:
        params, progress = self.config.index, self.space.progress
        if self.previous is None:
            graph = train_hnsw_index(vectors.vector_ND, params, seed=self.config.seed, progress=progress)
            return _Index(graph=graph, tombstones=0)
        graph = self.previous.load_index()
        row_N = np.flatnonzero(vectors.new_N)
        extend_hnsw_index(
            graph, vectors.vector_ND[row_N], vectors.label_N[row_N], vectors.removed, params, progress
        )
        index = _Index(graph=graph, tombstones=self.previous.tombstones + len(vectors.removed))
        if index.share > _MANY_TOMBSTONES:
            _log.warning(
                "many vectors of the index are deleted: build everything again",
                extra={"tombstones": index.tombstones, "vectors": graph.get_current_count()},
            )
        return index

    def _project(self, vectors: VectorisedTable, items: ShownItems) -> None:
        row_S = sample_rows(len(items.ids), self.config.projector.most_items, self.config.seed)
        shown = items.columns(row_S, self.config.columns.labels)
        export_tb_projector(np.asarray(vectors.vector_ND[row_S]), shown, self.staged / PROJECTOR_FOLDER)

    def _body(
        self, pipeline: FittedPipeline, vectors: VectorisedTable, index: _Index, items: ShownItems
    ) -> dict[str, Any]:
        """`training_metadata.json` but for what publication adds."""
        config = self.config
        return {
            "incremental": self.previous is not None,
            "data_version": self.data_version,
            "data": {
                "snapshot_id": self.metadata.snapshot_id,
                "items": len(items.ids),
                "features": str(self.table.path),
                "metadata": str(config.input.metadata),
            },
            "parameters": config.model_dump(mode="json"),
            "deciding": config.deciding(),
            "columns": self.table.columns,
            "constant_columns": sorted(pipeline.rules.keys() - pipeline.encoders.keys()),
            "vectors": {
                "features": len(pipeline.projection.components[0]),
                "dimension": pipeline.dimension,
                **vectors.figures(),
            },
            "index": self._index_figures(pipeline, vectors, index),
            "explained_variance": pipeline.projection.explained,
            "cleaned": vectors.counts.by_column(),
            "drift": vectors.drift,
            "samples": sample_neighbours(index.graph, vectors, items, config),
        }

    def _index_figures(
        self, pipeline: FittedPipeline, vectors: VectorisedTable, index: _Index
    ) -> dict[str, Any]:
        graph, config = index.graph, self.config
        recall = measure_recall(graph, vectors.vector_ND, vectors.label_N, config.index, config.seed)
        figures = {
            "space": "cosine",
            "M": graph.M,
            "ef_construction": graph.ef_construction,
            "vectors": graph.get_current_count(),
            "tombstones": index.tombstones,
            "next_label": vectors.next_label,
        }
        measured = {"dimension": pipeline.dimension, "recall": recall.recall, "peak_mib": _peak_mib()}
        _log.info("index built", extra={**figures, **measured})
        return {**figures, "recall": recall.model_dump()}

    def _publish(self, body: dict[str, Any], target: PublishTarget) -> Published:
        metrics = {
            "items": body["data"]["items"],
            "explained_variance": body["explained_variance"],
            "index_recall": body["index"]["recall"],
        }
        return publish_items(self.staged, self.source, metrics, target)

    @cached_property
    def data_version(self) -> str:
        """The digest of table and metadata."""
        return data_version(self.table, self.config.input.metadata)

    @cached_property
    def source(self) -> Provenance:
        """Where the version comes from."""
        return describe_origin(self.data_version, self.metadata.snapshot_id, self.config.seed)

    def _finish(self, outputs: RunOutputs, published: Published, body: dict[str, Any]) -> ItemsReport:
        version = published.version
        named = {
            "model_version": str(version),
            "model_digest": version.digest,
            "space_id": version.space_id,
            "git_commit": self.source.git_commit,
            "seconds": self.watch.all(),
            "peak_mib": _peak_mib(),
            **body,
        }
        write_text(self.staged / MARKDOWN_FILE, markdown_of(named), sync=False)
        written = outputs.publish(self.staged, named)
        _log.info(
            "run finished",
            extra={
                "model_version": str(version),
                "items": body["data"]["items"],
                "dimension": body["vectors"]["dimension"],
                "seconds": written["seconds"]["all"],
                "peak_mib": written["peak_mib"],
            },
        )
        return ItemsReport(published=published, folder=outputs.folder, body=written)


def _peak_mib() -> int:
    """The most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
