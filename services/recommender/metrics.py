"""What the recommender's indexes hold, for Prometheus: read whenever it is scraped."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.recommender.collections import Collections
from services.release_metrics import ReleaseCollector


class IndexCollector(Collector):
    """Rows of each collection's index, and the catalogue revision that it has come to."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families as they are now; a collection without a release has no samples."""
        live = GaugeMetricFamily("atelier_index_items", "Items that can be found.", labels=["collection"])
        rows = GaugeMetricFamily(
            "atelier_index_rows",
            "Rows in HNSW segments, in the exact delta, and dead ones.",
            labels=["collection", "part"],
        )
        revision = GaugeMetricFamily(
            "atelier_index_revision", "Catalogue revision that the index reflects.", labels=["collection"]
        )
        for collection in self._collections:
            serving = collection.present
            if serving is None:
                continue
            view = serving.index.view()
            live.add_metric([collection.name], view.counts.live)
            for part in ("segment", "delta", "dead"):
                rows.add_metric([collection.name, part], getattr(view.counts, part))
            revision.add_metric([collection.name], view.revision)
        yield from (live, rows, revision)


def show(registry: CollectorRegistry, collections: Collections) -> None:
    """Register what tells of the collections, their releases and their indexes."""
    registry.register(IndexCollector(collections))
    registry.register(ReleaseCollector(lambda: {each.name: each.status for each in collections}))
