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
        assert service["pids_limit"] <= 512, name


@pytest.mark.parametrize("name", SERVICES)
def test_services_read_models_and_listen_for_this_machine_only(composed: dict[str, Any], name: str) -> None:
    """The store is mounted read-only and every port is published on loopback. (S-6)"""
    service = composed["services"][name]

    assert "models:/var/lib/atelier/models:ro" in service["volumes"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["build"]["target"] == "serve"
    probe = ["CMD", "health-probe", service["ports"][0].rpartition(":")[2]]
    assert service["healthcheck"]["test"] == [*probe, f"atelier.{name}.v1.{name.capitalize()}Service"]


def test_the_gateway_is_reached_from_this_machine_only(composed: dict[str, Any]) -> None:
    """Its ports are published on loopback; it reads runs and writes to the store alone. (S-6)"""
    gateway = composed["services"]["gateway"]

    assert [port.rpartition("-")[2] for port in gateway["ports"]] == ["8000}:8000", "9467}:9467"]
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])
    assert [volume.split(" ")[0] for volume in gateway["volumes"]] == [
        "models:/var/lib/atelier/models",
        "runs:/var/lib/atelier/runs:ro",
    ]
    assert gateway["healthcheck"]["test"] == ["CMD", "health-probe", "8000", "/healthz"]


def test_images_run_as_an_unprivileged_user() -> None:
    """Both targets inherit one unprivileged user, and no secret is a build argument. (S-6, S-11)"""
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert "USER atelier" in lines
    assert not [line for line in lines if line.startswith(("ARG", "ENV")) and "TOKEN" in line.upper()]
    stages = [line.split() for line in lines if line.startswith("FROM ")]
    assert [stage[1] for stage in stages if stage[3] in ("serve", "train")] == ["runtime", "runtime"]


def test_a_bare_up_needs_one_image_alone(composed: dict[str, Any]) -> None:
    """Everything outside a profile runs from the serving image, also what publishes models. (S-6)"""
    bare = {name: each for name, each in composed["services"].items() if "profiles" not in each}

    assert set(bare) == {*SERVICES, "gateway", "models", "samples"}
    assert {each["image"] for each in bare.values()} == {"${ATELIER_IMAGE:-atelier:serve}"}
    assert {each["build"]["target"] for each in bare.values()} == {"serve"}


def test_a_gpu_without_cuda_refuses() -> None:
    """The override builds the runtime with CUDA and starts the embedder only where a graph runs on it."""
    embedder = _override("gpu")["services"]["embedder"]

    assert embedder["command"][:3] == ["atelier", "gpu", "--"]
    assert embedder["environment"]["ATELIER_PROVIDER"] == "cuda"
    assert embedder["build"]["args"]["SERVING"] == "serve-gpu"


@pytest.mark.parametrize(
    ("name", "variable"), [("ca", "CA_BUNDLE"), ("traces", "OTEL_EXPORTER_OTLP_ENDPOINT")]
)
def test_overrides_name_services_that_exist(composed: dict[str, Any], name: str, variable: str) -> None:
    """Each override changes services of the file, and says what must be set."""
    override = _override(name)

    assert override["services"].keys() <= composed["services"].keys()
    assert f"${{{variable}:?" in str(override)


def test_images_run_on_any_processor_of_an_architecture() -> None:
    """No library is built for the processor that builds: hnswlib would use its instructions. (S-6)"""
    text = (ROOT / "Dockerfile").read_text()

    assert "HNSWLIB_NO_NATIVE=1" in text
    assert "native" not in text.replace("HNSWLIB_NO_NATIVE", "")


def _override(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ROOT / f"docker-compose.{name}.yml").read_text())
    return body
