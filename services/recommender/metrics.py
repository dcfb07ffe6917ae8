"""Metrics of the recommender's catalog and indexes, read at each scrape.

Scrapes run on a thread of their own, so these collectors read only what is safe from any thread.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from services.recommender.catalog.database import FILE
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError
from services.recommender.insight.recall import RecallSampler
from services.recommender.release.collection import Collections
from services.runtime.release_metrics import ReleaseCollector

_PARTS = ("segment", "delta", "dead")


class IndexCollector(Collector):
    """Rows of each collection's index, its revision and generation, and how far an upgrade is."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families as they are now; a collection without a release has no samples."""
        live = _per_collection("atelier_index_items", "Items that can be found.")
        rows = _per_collection(
            "atelier_index_rows", "Rows in HNSW segments, in the exact delta, and dead ones.", "part"
        )
        segments = _per_collection("atelier_index_segments", "HNSW segments.")
        revision = _per_collection("atelier_index_revision", "Catalog revision that the index reflects.")
        generation = _per_collection("atelier_index_generation", "Moves to another lead or space so far.")
        upgrade = _per_collection(
            "atelier_upgrade_items", "Items that an upgrade has embedded, and has left.", "state"
        )
        for collection in self._collections:
            progress = collection.progress
            for state in ("done", "left"):
                count = getattr(progress, state) if progress is not None else 0
                upgrade.add_metric([collection.name, state], count)
            release = collection.present
            if release is None:
                continue
            view = release.index.view()
            counts = view.counts
            live.add_metric([collection.name], counts.live)
            for part in _PARTS:
                rows.add_metric([collection.name, part], getattr(counts, part))
            segments.add_metric([collection.name], len(view.parts))
            revision.add_metric([collection.name], view.revision)
            generation.add_metric([collection.name], view.attached.generation)
        yield from (live, rows, segments, revision, generation, upgrade)


class RecallCollector(Collector):
    """Recall of each collection's recent queries, and the effort that they are searched with."""

    def __init__(self, collections: Collections, sampler: RecallSampler) -> None:
        self._collections = collections
        self._sampler = sampler

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families as last measured; a group without recent queries has no samples."""
        group = ("query_kind", "item_share")
        recall = _per_collection(
            "atelier_recall", "Share of the ten nearest items that recent queries were given.", *group
        )
        effort = _per_collection(
            "atelier_search_ef", "Candidates that a graph keeps; 0 where every item is compared.", *group
        )
        for collection in self._collections:
            for each in self._sampler.measured(collection.name):
                labels = [collection.name, each.kind.value, f"{each.selectivity.value:g}"]
                recall.add_metric(labels, each.recall)
                effort.add_metric(labels, 0 if each.effort.exact else each.effort.ef)
        yield from (recall, effort)


class CatalogCollector(Collector):
    """Content of the catalog and free space on its disk; a disk that cannot be read has no samples."""

    def __init__(self, catalog: Catalog, collections: Collections, root: Path) -> None:
        self._catalog = catalog
        self._collections = collections
        self._root = root

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families as they are now."""
        revision = _per_collection("atelier_catalogue_revision", "Revision of the catalog.")
        count = _per_collection("atelier_catalogue_items", "Items in the catalog.")
        database = GaugeMetricFamily("atelier_catalogue_database_bytes", "Size of the database.")
        free = GaugeMetricFamily("atelier_catalogue_free_bytes", "Room on the catalog's disk.")
        damaged = GaugeMetricFamily(
            "atelier_catalogue_damaged_items", "Damaged rows of items that were read and left out."
        )
        try:
            for collection in self._collections:
                revision.add_metric([collection.name], self._catalog.state(collection.name).revision)
                count.add_metric([collection.name], self._catalog.counts(collection.name)[0])
            files = [path.stat().st_size for path in self._root.glob(f"{FILE}*")]
            database.add_metric([], sum(files))
            free.add_metric([], shutil.disk_usage(self._root).free)
            damaged.add_metric([], self._catalog.damaged_count)
        except (CatalogError, SQLAlchemyError, OSError):
            return
        yield from (revision, count, database, free, damaged)


def register_metrics(
    registry: CollectorRegistry,
    catalog: Catalog,
    root: Path,
    collections: Collections,
    sampler: RecallSampler,
) -> None:
    """Register the metrics of the collections, their releases, their indexes and the catalog in `root`."""
    registry.register(IndexCollector(collections))
    registry.register(RecallCollector(collections, sampler))
    registry.register(CatalogCollector(catalog, collections, root))
    registry.register(ReleaseCollector(lambda: {each.name: each.status for each in collections}))


def _per_collection(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["collection", *labels])
