"""What the Dockerfile promises of the training image, read from the file itself (I-8)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _stage(name: str) -> str:
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    return next(stage for stage in stages if stage.split("\n")[0].endswith(f" AS {name}"))


def test_the_image_trains_items_unless_another_command_is_given() -> None:
    """python:3.12-slim with libgomp1, `python -m trainer.items --config config/trainer.yml` (I-8)."""
    stage = _stage("train")

    assert "ARG BASE_IMAGE=python:3.12-slim" in (ROOT / "Dockerfile").read_text()
    assert "libgomp1" in stage
    assert 'CMD ["python", "-m", "trainer.items", "--config", "config/trainer.yml"]' in stage
    assert (ROOT / "config" / "trainer.yml").is_file()


def test_its_user_writes_results_and_a_volume_keeps_the_logs() -> None:
    """/app/models and /app/logs belong to the unprivileged user, who is the last one set (I-8)."""
    stage = _stage("train")

    assert "install -d -o atelier -g atelier /app/models /app/logs" in stage
    assert 'VOLUME ["/app/logs"]' in stage
    assert [line for line in stage.splitlines() if line.startswith("USER ")][-1] == "USER atelier"
