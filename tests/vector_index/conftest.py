import pytest

from tests.vector_index.drawing import make_index


@pytest.fixture(params=["exact", "compact", "tiers", "few"])
def index(request):
    made = make_index(request.param)
    yield made
    made.close()
