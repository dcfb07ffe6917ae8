"""Metrics of followed releases: the state of each, and the version in service."""

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from inference.release import ReleaseStatus
from services.runtime.release_metrics import ReleaseCollector

VERSION: Any = SimpleNamespace(name="artwork-head", number=3, digest="0123456789abcdef" * 4)


def read(**statuses: ReleaseStatus) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ReleaseCollector(lambda: statuses))
    return registry


def test_a_release_in_service_has_its_state_version_and_time() -> None:
    """One state is 1, the others 0; the digest is cut to 12 letters (S-11)."""
    registry = read(
        artwork=ReleaseStatus(state="serving", detail="", version=VERSION, swapped_at=1_700_000_000.0)
    )

    follower = {"follower": "artwork"}
    state = {"atelier_release_state": "serving"}
    assert registry.get_sample_value("atelier_release_state", follower | state) == 1
    assert (
        registry.get_sample_value("atelier_release_state", follower | {"atelier_release_state": "absent"})
        == 0
    )
    model = {"model": "artwork-head"}
    assert registry.get_sample_value("atelier_release_version", follower | model) == 3
    info = follower | model | {"version": "3", "digest": "0123456789ab"}
    assert registry.get_sample_value("atelier_release_info", info) == 1
    assert registry.get_sample_value("atelier_release_swap_timestamp_seconds", follower) == 1_700_000_000.0


def test_a_follower_without_a_release_has_only_its_state() -> None:
    """There is no version to report before the first (S-11)."""
    registry = read(fashion=ReleaseStatus(state="absent", detail="no alias", version=None))

    follower = {"follower": "fashion"}
    assert (
        registry.get_sample_value("atelier_release_state", follower | {"atelier_release_state": "absent"})
        == 1
    )
    assert registry.get_sample_value("atelier_release_swap_timestamp_seconds", follower) is None
