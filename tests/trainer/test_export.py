import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_store.errors import NotInStore
from model_store.store import ModelStore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KILLS = max(4, int(os.environ.get("ATELIER_TEST_KILLS", "4")) // 10)  # each takes many seconds


def _command(*options: str) -> list[str]:
    return [sys.executable, str(ROOT / "trainer" / "export.py"), *options]


def _environment(home: Path) -> dict[str, str]:
    """Offline, one thread, and no store of the machine's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATELIER_", "COV_"))}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(home)}


def _export(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*options), cwd=cwd, env=_environment(cwd), capture_output=True, text=True, timeout=110
    )


def _artwork(directory: Path) -> tuple[str, ...]:
    return (
        *("artwork", "--backbone", str(directory)),
        *(
            "--set",
            "backbone.height=56",
            "--set",
            "backbone.width=56",
            "--set",
            "backbone.pooling=cls+mean+std",
        ),
    )


def test_artwork_models_are_published_by_the_command(dinov2_directory: Path, tmp_path: Path):
    """Three models appear in the default store under production, and the answer is JSON (M-5)."""
    done = _export(tmp_path, *_artwork(dinov2_directory), "--json")

    assert done.returncode == 0, done.stderr
    published = json.loads(done.stdout)
    assert [one["model"] for one in published] == ["artwork-backbone", "artwork-head", "artwork-encoder"]
    assert {one["alias"] for one in published} == {"production"}
    assert not any(one["trained"] for one in published)
    store = ModelStore.at(tmp_path / "var" / "models")
    for name in store.names():
        store.verify(store.resolve(name))


def test_fashion_models_are_published_and_the_fused_one_is_left_out(clip_directory: Path, tmp_path: Path):
    """`fashion` publishes the pair of encoders where --store says."""
    done = _export(
        tmp_path, "fashion", "--backbone", str(clip_directory), "--store", "elsewhere", "--alias", "trial"
    )

    assert done.returncode == 0, done.stderr
    assert "untrained" in done.stderr
    store = ModelStore.at(tmp_path / "elsewhere")
    assert store.names() == ["fashion-attributes", "fashion-image"]
    assert store.resolve("fashion-image", "trial").number == 1
    with pytest.raises(NotInStore):
        store.resolve("fashion-image")


def test_a_name_that_no_alias_can_have_publishes_nothing(clip_directory: Path, tmp_path: Path):
    """It is refused before the first version appears, not after it (M-3)."""
    done = _export(tmp_path, "fashion", "--backbone", str(clip_directory), "--alias", "Not One")

    assert done.returncode == 1
    assert done.stderr.startswith("error: alias 'Not One'")
    assert not (tmp_path / "var").exists()


def test_torchscript_is_an_option(clip_directory: Path, tmp_path: Path):
    """`--format torchscript` publishes graphs as model.pt, each version in that one format (M-6)."""
    done = _export(
        tmp_path, "fashion", "--backbone", str(clip_directory), "--format", "torchscript", "--json"
    )

    assert done.returncode == 0, done.stderr
    assert [one["format"] for one in json.loads(done.stdout)] == ["torchscript", "torchscript"]
    store = ModelStore.at(tmp_path / "var" / "models")
    for name in ("fashion-image", "fashion-attributes"):
        version = store.resolve(name)
        store.verify(version)
        assert sorted(version.manifest.files) == ["golden.npz", "model.pt"]


def test_the_checkpoint_may_stand_in_the_configuration(dinov2_directory: Path, tmp_path: Path):
    """`checkpoint` of the settings is read as --checkpoint is, which goes before it."""
    set_to_missing = ("--set", "checkpoint=runs/none.pt", "--no-fused")

    done = _export(tmp_path, *_artwork(dinov2_directory), *set_to_missing)
    over = _export(tmp_path, *_artwork(dinov2_directory), *set_to_missing, "--checkpoint", "runs/other.pt")

    assert (done.returncode, over.returncode) == (1, 1)
    assert "runs/none.pt" in done.stderr
    assert "runs/other.pt" in over.stderr


def test_a_hub_that_is_not_there_is_given_up_soon(tmp_path: Path):
    """Without network and without HF_HUB_OFFLINE the command ends within seconds, in one line."""
    # Nothing listens on port 9 of this machine, and a name that no resolver knows is as bad.
    environment = _environment(tmp_path) | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    started = time.monotonic()

    done = subprocess.run(
        _command("artwork"), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 1
    assert "--backbone DIR" in done.stderr
    assert time.monotonic() - started < 20  # five tries for each file took longer than that


def test_missing_backbone_is_one_line(tmp_path: Path):
    """The plain command without network says what to do, on one line, and exits with 1."""
    done = _export(tmp_path)

    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "--backbone DIR" in errors[0]
    assert "Traceback" not in done.stderr


def test_options_that_need_a_family_are_refused(tmp_path: Path):
    """--backbone without `artwork` or `fashion` could mean either: exit code 2."""
    done = _export(tmp_path, "--backbone", "x")

    assert done.returncode == 2
    assert "artwork" in done.stderr


@pytest.mark.timeout(900 + 120 * KILLS)  # many starts of torch; minutes on a busy machine
def test_killed_at_any_moment_leaves_only_whole_versions(dinov2_directory: Path, tmp_path: Path):
    """After kill -9 at random moments all that is visible verifies; a last run completes (M-1)."""
    rng = random.Random(5)
    command = _command(*_artwork(dinov2_directory), "--store", "models")
    store = ModelStore.at(tmp_path / "models")
    started = time.monotonic()
    _export(tmp_path, *_artwork(dinov2_directory), "--store", "probe")
    whole = time.monotonic() - started

    for _ in range(KILLS):
        with subprocess.Popen(
            command,
            cwd=tmp_path,
            env=_environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            time.sleep(rng.uniform(0.4, 1.0) * whole)
            child.kill()
        _all_whole(store)

    done = _export(tmp_path, *_artwork(dinov2_directory), "--store", "models")
    assert done.returncode == 0, done.stderr
    assert _all_whole(store) == {"artwork-backbone": 1, "artwork-head": 1, "artwork-encoder": 1}
    assert [p for p in (tmp_path / "models" / ".staging").iterdir() if p.is_dir()] == []


def _all_whole(store: ModelStore) -> dict[str, int]:
    """How many versions of each model there are, all of them verified."""
    try:
        names = store.names()
    except NotInStore:
        return {}
    for name in names:
        for number in store.numbers(name):
            store.verify(store.open(name, number))
        for alias in ("production", "candidate"):
            if store.aliases.find(name, alias):
                store.resolve(name, alias)
    return {name: len(store.numbers(name)) for name in names if store.numbers(name)}
