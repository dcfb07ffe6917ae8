"""The bounds that every service and client enforces."""

import resource

import pytest
from pydantic import ValidationError

from services.runtime.limits import MIB, Limits, idle_s, most_connections, to_message


def test_get_limits_reports_every_bound() -> None:
    """Each field of the settings is a field of the message, with the default deadline in ms (S-7)."""
    limits = Limits(image_bytes=5 * MIB)

    message = to_message(limits, default_deadline_s=1.5)

    assert {name: getattr(message, name) for name in Limits.model_fields} == limits.model_dump()
    assert message.default_deadline_ms == 1_500
    assert message.attribute_terms > 0


@pytest.mark.parametrize("bad", [{"image_bytes": 0}, {"item_count": -1}, {"images": 3}])
def test_a_bound_that_lets_nothing_through_is_refused(bad: dict[str, int]) -> None:
    """Bounds are at least 1, and only known names are bounds."""
    with pytest.raises(ValidationError):
        Limits(**bad)


@pytest.mark.parametrize(("files", "connections", "seconds"), [(1_024, 768, 56.25), (100_000, 99_744, 300.0)])
def test_where_files_are_few_idle_connections_end_sooner(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int, seconds: float
) -> None:
    """Whoever holds all connections without calling keeps others out for a minute, not for five (S-9)."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    assert most_connections() == connections
    assert idle_s(300.0) == seconds
