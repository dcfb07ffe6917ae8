import time

import pytest

from tests.services.recommender.world import Embedder, Recommender, Shelf, settings_for


@pytest.fixture
def embedder():
    made = Embedder()
    yield made
    made.stop()


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def models(shelf, embedder):
    """An image model and an attribute model aligned with it, in production."""
    image = shelf.image()
    lead = shelf.attributes(image)
    embedder.fake.aligned[lead.space_id] = image.space_id
    return lead, image


@pytest.fixture
def serve(tmp_path, embedder):
    """Starts recommenders over the same directories; every one is stopped at the end."""
    started = []

    def start(*, wait=True, **changes):
        made = Recommender(settings_for(tmp_path, embedder, **changes))
        started.append(made)
        if wait:
            until(lambda: made.status().space_id)
        return made

    yield start
    for made in started:
        made.close()


@pytest.fixture
def recommender(models, serve):
    return serve()


def until(condition, timeout=10):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)
