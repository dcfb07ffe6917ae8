"""Metrics of the releases that a process follows, read at each scrape."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, StateSetMetricFamily
from prometheus_client.registry import Collector

from inference.release import ReleaseStatus, State

_STATES: Final = get_args(State)
_DIGEST: Final = 12  # letters of it, enough to tell two versions apart


class ReleaseCollector(Collector):
    """The state and version of every followed release, by follower."""

    def __init__(self, read: Callable[[], Mapping[str, ReleaseStatus]]) -> None:
        self._read = read

    def collect(self) -> Iterator[StateSetMetricFamily | GaugeMetricFamily | InfoMetricFamily]:
        """The families as they are now."""
        states = StateSetMetricFamily(
            "atelier_release_state", "State of the followed alias.", labels=["follower"]
        )
        versions = GaugeMetricFamily(
            "atelier_release_version", "Version in service.", labels=["follower", "model"]
        )
        served = InfoMetricFamily("atelier_release", "Model in service.", labels=["follower"])
        swapped = GaugeMetricFamily(
            "atelier_release_swap_timestamp_seconds",
            "When the version came into service, seconds since 1970.",
            labels=["follower"],
        )
        for follower, status in self._read().items():
            states.add_metric([follower], {state: state == status.state for state in _STATES})
            if status.version is not None:
                name, number = status.version.name, status.version.number
                versions.add_metric([follower, name], number)
                info = {"model": name, "version": str(number), "digest": status.version.digest[:_DIGEST]}
                served.add_metric([follower], info)
                swapped.add_metric([follower], status.swapped_at)
        yield from (states, versions, served, swapped)
