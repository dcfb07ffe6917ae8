"""What the Dockerfile promises of the training image, read from the file itself (I-8)."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def _stage(name: str) -> str:
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    return next(stage for stage in stages if stage.split("\n")[0].endswith(f" AS {name}"))


def test_the_image_is_a_training_of_items() -> None:
    """On python:3.12-slim with libgomp1: `python -m trainer.items --config config/trainer.yml` (I-8)."""
    stage = _stage("train")

    assert "ARG BASE_IMAGE=python:3.12-slim" in (ROOT / "Dockerfile").read_text()
    assert "libgomp1" in stage
    assert 'ENTRYPOINT ["python", "-m", "trainer.items", "--config", "config/trainer.yml"]' in stage
    assert (ROOT / "config" / "trainer.yml").is_file()


def test_its_user_writes_results_and_volumes_keep_them() -> None:
    """models, logs and results belong to the unprivileged user, who is the last one set (I-8)."""
    stage = _stage("train")

    assert "install -d -o atelier -g atelier /app/models /app/logs /app/results" in stage
    assert 'VOLUME ["/app/models", "/app/logs", "/app/results"]' in stage
    assert [line for line in stage.splitlines() if line.startswith("USER ")][-1] == "USER atelier"


def test_compose_bounds_a_training() -> None:
    """Time of 8 processors and 16 GB; results, logs and models outlive the container (I-8)."""
    items = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["items"]

    assert items["cpu_quota"] / items["cpu_period"] == 8
    assert items["mem_limit"] == "${TRAINER_MEMORY:-16g}"
    mounted = {volume.split(":")[1] for volume in items["volumes"] if not volume.startswith("$")}
    assert mounted == {"/var/lib/atelier/models", "/app/models", "/app/logs", "/app/results"}
    assert "command" not in items
    assert "entrypoint" not in items
