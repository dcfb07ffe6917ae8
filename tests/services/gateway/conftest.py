from pathlib import Path

import pytest

from tests.services.gateway.house import House, start_house, stop_house

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the running services is slow: they take seconds to start."""
    for item in items:
        if HERE in item.path.parents and "house" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The services with the packaged models; tests may add items, and leave models as they are."""
    started = start_house(tmp_path_factory.mktemp("house"))
    yield started
    stop_house(started)


@pytest.fixture(scope="session")
def gateway(house):
    """A gateway with its default settings."""
    started = house.gateway()
    yield started
    started.close()


@pytest.fixture(scope="session")
def client(gateway):
    """A client of that gateway."""
    return gateway.client


@pytest.fixture
def own_gateway(house):
    """Starts gateways with settings of a test's own."""
    started = []

    def start(**changes):
        started.append(house.gateway(**changes))
        return started[-1]

    yield start
    for each in started:
        each.close()
