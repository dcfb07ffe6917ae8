"""What the compose file promises of every container, read from the file itself (S-6)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("embedder", "ranker", "recommender")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return body


def test_every_container_is_confined(composed: dict[str, Any]) -> None:
    """Read-only root, no capabilities, no new privileges, a memory limit. (S-6)"""
    for name, service in composed["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name


@pytest.mark.parametrize("name", SERVICES)
def test_services_read_models_and_listen_for_this_machine_only(composed: dict[str, Any], name: str) -> None:
    """The store is mounted read-only and every port is published on loopback. (S-6)"""
    service = composed["services"][name]

    assert "models:/var/lib/atelier/models:ro" in service["volumes"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["build"]["target"] == "serve"
    assert f"atelier.{name}.v1.{name.capitalize()}Service" in service["healthcheck"]["test"]


def test_images_run_as_an_unprivileged_user() -> None:
    """Both targets inherit one unprivileged user, and no secret is a build argument. (S-6, S-11)"""
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert "USER atelier" in lines
    assert not [line for line in lines if line.startswith(("ARG", "ENV")) and "TOKEN" in line.upper()]
    stages = [line.split() for line in lines if line.startswith("FROM ")]
    assert [stage[1] for stage in stages if stage[3] in ("serve", "train")] == ["runtime", "runtime"]
