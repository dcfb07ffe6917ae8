"""The overload benchmark in its shortest form: it measures, and the embedder holds."""

import asyncio

import pytest

from benchmarks.overload import OfferedLoad, jpeg, measured, seen_by_the_service, service
from model_store.store import ModelStore
from tests.services.embedder.conftest import IMAGE_FIELDS, PICTURES, image_graph, publish


@pytest.mark.slow
def test_under_four_times_the_load_work_is_useful_and_health_serves(tmp_path):
    """A short open loop of calls of 8 pictures: most of the best rate is kept, the rest is refused (S-12)."""
    publish(ModelStore.at(tmp_path / "store"), PICTURES, image_graph(1), IMAGE_FIELDS, tmp_path / "made")

    with service(tmp_path / "store", tmp_path, "sleep") as (process, address):
        load = OfferedLoad(picture=jpeg((32, 32)), model=PICTURES, sizes=(8,), seconds=3.0, deadline_s=1.0)
        (sized,) = asyncio.run(measured(address, process, load)).values()

    assert sized["goodput_of_best"] >= 0.6
    assert sized["not_serving"] == 0
    assert "RESOURCE_EXHAUSTED" in sized["codes"]
    assert seen_by_the_service(tmp_path / "embedder.log")["refusal_p50_ms"] < 100
