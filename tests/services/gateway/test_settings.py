import pytest
from pydantic import ValidationError

from services.gateway.settings import GatewaySettings


@pytest.fixture
def variables(monkeypatch):
    """Sets ATELIER_ variables and reads the settings."""

    def read(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"ATELIER_{name}", value)
        return GatewaySettings()

    return read


def test_lists_are_written_with_commas_or_as_json(variables):
    """Hosts, origins and the names of collections are read from either form. (S-13)"""
    plain = variables(
        GATEWAY_HOSTS="a.example, b.example",
        GATEWAY_ORIGINS='["https://shop.example"]',
        COLLECTIONS="fashion=fashion-attributes|fashion-image, items=items",
    )
    as_json = variables(COLLECTIONS='{"fashion": ["fashion-image"], "items": "items"}')

    assert plain.gateway_hosts == ("a.example", "b.example")
    assert plain.gateway_origins == ("https://shop.example",)
    assert plain.collections == as_json.collections == ("fashion", "items")


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://shop.example/path", "https://*.example"])
def test_an_origin_is_a_site(variables, origin):
    """What is no origin, or stands for several, is an error. (S-11)"""
    with pytest.raises(ValidationError):
        variables(GATEWAY_ORIGINS=origin)
