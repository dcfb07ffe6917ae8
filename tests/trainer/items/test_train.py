"""A whole run: outputs, reproducibility, increments, failures, kills (I-3 … I-7, Q-5)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboard.runs import RunCatalogue
from model_store.item_vectors import open_item_vectors
from model_store.store import ModelStore
from tests.trainer.items.conftest import ITEMS, configured, train_in
from trainer.errors import FolderInUse, InvalidCheckpoint, InvalidConfig, InvalidData, RunExists
from trainer.items.results.index import exact_neighbours
from trainer.items.train import ItemsReport
from trainer.loop.run_folder import claimed
from trainer.synthetic.item_tables import read_truth

Run = Callable[..., ItemsReport]
ROOT = Path(__file__).resolve().parents[3]


def test_a_run_leaves_every_output(trained: tuple[Path, ItemsReport]) -> None:
    """Metadata, index, projector, log and report, with commit, digests and snapshot (I-5, I-7)."""
    folder, report = trained
    models = folder / "models"
    body = json.loads((models / "training_metadata.json").read_text())

    assert body == report.body
    assert (body["model_version"], body["data"]["snapshot_id"]) == ("items/1", "drawn-1")
    assert re.fullmatch(r"[0-9a-f]{64}", body["data_version"])
    assert re.fullmatch(r"[0-9a-f]{40}", body["git_commit"])
    assert body["parameters"]["index"]["M"] == body["index"]["M"] == 32
    assert body["index"]["ef_construction"] == 200
    assert body["vectors"]["dimension"] == 128
    assert set(body["files"]) >= {"hnsw_index.bin", *(f"tb_projector/{n}" for n in (
        "vectors.tsv", "metadata.tsv", "projector_config.json"))}  # fmt: skip
    assert all((models / name).is_file() for name in body["files"])
    log = next((folder / "logs").iterdir())
    assert re.fullmatch(r"trainer_\d{8}\.log", log.name)
    assert "dimension=128" in log.read_text()
    assert re.search(r"index built .*M=32 ef_construction=200 .*peak_mib=\d+", log.read_text())
    assert re.search(r"run finished .*seconds=\d", log.read_text())


def test_a_run_shows_itself(trained: tuple[Path, ItemsReport]) -> None:
    """The dashboard has the stages, the recall of the index, lengths and neighbours (D-1)."""
    folder, report = trained
    shown = RunCatalogue(folder.parent).read(folder.name)

    assert (shown.run.kind, shown.run.state, shown.run.stage) == ("items", "done", "publish")
    assert shown.run.headline is not None
    assert shown.run.headline.value == report.body["index"]["recall"]["recall"]
    assert shown.kpi.counts.items == report.body["data"]["items"]
    assert shown.kpi.norm is not None
    assert [len(each.results) for each in shown.top_k_images.categories[0].queries] == [5] * 5


def test_the_report_says_what_a_person_asks(trained: tuple[Path, ItemsReport]) -> None:
    """What was cleaned, what is explained by group, neighbours of five items, two pictures (I-5)."""
    models = trained[0] / "models"
    text = (models / "report.md").read_text()

    for heading in ("Cleaned values", "Variance that the vectors keep", "Nearest neighbours", "Map"):
        assert f"## {heading}" in text
    assert text.count("| neighbour |") == 5
    for picture in ("map.png", "explained_variance.png"):
        assert (models / picture).read_bytes().startswith(b"\x89PNG")
        assert f"({picture})" in text


def test_the_published_version_is_what_was_trained(trained: tuple[Path, ItemsReport]) -> None:
    """Kind `vectors`, in production, its items, vectors and records those of the table (I-6, M-1, M-2)."""
    folder, report = trained
    store = ModelStore.at(folder / "store")
    version = store.resolve("items")

    items = open_item_vectors(store, version)

    manifest = version.manifest
    assert (manifest.kind, manifest.format, manifest.dimension) == ("vectors", "none", 128)
    assert manifest.provenance.seed == 42
    assert manifest.provenance.data_version == report.body["data_version"]
    assert manifest.provenance.notes == ("data snapshot drawn-1",)
    assert len(items.item_ids) == ITEMS
    assert (items.vector_ND == np.load(folder / "models" / "vectors.npy")).all()
    record = items.records[0]
    assert record["item_id"] == items.item_ids[0]
    assert record["attributes"]["name"] == "part 00000000"
    assert set(record["attributes"]) <= {"category", "process", "material", "industry", "name"}
    assert record["weight"] > 0
    assert all(np.isfinite(np.asarray(items.vector_ND)).ravel())


def test_neighbours_share_their_routing(trained: tuple[Path, ItemsReport], drawn: Path) -> None:
    """Of the ten nearest, four in five have the item's routing; by chance it is one in forty (I-6)."""
    vector_ND = np.load(trained[0] / "models" / "vectors.npy")
    routing_N = np.array([*read_truth(drawn).values()])

    near_NK = exact_neighbours(vector_ND, vector_ND, 11)[:, 1:]

    assert (routing_N[near_NK] == routing_N[:, None]).mean() > 0.8


@pytest.mark.slow
def test_three_runs_with_one_seed_are_one(
    trained: tuple[Path, ItemsReport], drawn: Path, tmp_path: Path
) -> None:
    """Seed 42 three times: the same vectors and so the same distribution of cosines (I-7, Q-5)."""
    folders = [trained[0], tmp_path / "2", tmp_path / "3"]
    for out in folders[1:]:
        train_in(out, configured(drawn))
    cosines = []
    for out in folders:
        vector_ND = np.load(out / "models" / "vectors.npy")
        cosines.append(np.sort((vector_ND @ vector_ND.T).ravel()))

    assert len({(out / "models" / "vectors.npy").read_bytes() for out in folders}) == 1
    assert all((each == cosines[0]).all() for each in cosines)
    assert cosines[0].std() > 0.05


def test_the_same_table_is_not_published_twice(run: Run, begun: ItemsReport, drawn: Path) -> None:
    """A second run over the same data finds the version that holds the same (I-6)."""
    second = run(configured(drawn), overwrite=True)

    assert (begun.published.fresh, second.published.fresh) == (True, False)
    assert second.body["model_version"] == "items/1"


def test_new_items_are_added_and_gone_ones_tombstoned(
    run: Run, begun: ItemsReport, drawn: Path, later: Path
) -> None:
    """Only new and changed rows are transformed; the others keep their vectors to the bit (I-4)."""
    before = _items(begun)
    second = run(configured(later), incremental=True)
    after = _items(second)

    frames = [pd.read_parquet(each / "features.parquet").set_index("item_id") for each in (drawn, later)]
    gone = frames[0].index.difference(frames[1].index)
    new = frames[1].index.difference(frames[0].index)
    kept = frames[0].index.intersection(frames[1].index)
    both = [each.loc[kept] for each in frames]
    same = (both[0].eq(both[1]) | (both[0].isna() & both[1].isna())).all(axis=1)
    body = second.body
    assert len(new) > 40
    assert len(gone) > 4
    assert (~same).sum() > 2
    assert body["vectors"]["new"] == len(new) + (~same).sum()
    assert body["vectors"]["changed"] == (~same).sum()
    assert body["vectors"]["removed"] == len(gone)
    assert body["index"]["tombstones"] == len(gone) + (~same).sum()
    assert set(after) == set(frames[1].index)
    assert all((before[item] == after[item]).all() for item in kept[same])
    assert not any((before[item] == after[item]).all() for item in kept[~same])
    assert second.published.alias == "candidate"
    assert second.body["space_id"] == begun.body["space_id"]


@pytest.mark.slow
def test_an_increment_finds_what_a_full_rebuild_of_its_index_finds(
    run: Run, begun: ItemsReport, drawn: Path, later: Path
) -> None:
    """Recall of the extended index is that of a new one within 0.01, two increments in a row (I-4)."""
    run(configured(later), incremental=True)
    third = run(configured(drawn), incremental=True)

    assert third.body["index"]["recall"]["recall"] > 0.99
    assert third.body["index"]["vectors"] - third.body["index"]["tombstones"] == ITEMS
    vectors = _items(third)
    assert all(np.isfinite(vector).all() for vector in vectors.values())
    assert set(vectors) == set(read_truth(drawn))


def test_an_increment_names_what_drifted(run: Run, begun: ItemsReport, later: Path) -> None:
    """The new material stands out; a run over everything has no drift to name (I-4)."""
    second = run(configured(later), incremental=True)

    assert begun.body["drift"] is None
    assert second.body["drift"]["rows"] == second.body["vectors"]["new"]
    assert "material" in second.body["drift"]["drifted"]
    assert second.body["drift"]["stability_index"]["material"] > 1


def test_a_changed_schema_is_refused_naming_the_columns(
    run: Run, begun: ItemsReport, drawn: Path, tmp_path: Path
) -> None:
    """New, gone and retyped columns are all named, and nothing is written (I-4)."""
    frame = pd.read_parquet(drawn / "features.parquet")
    changed = frame.drop(columns=["revision"]).assign(colour="red", shelf=frame["shelf"].astype("float32"))
    changed["revision2"] = 1
    path = tmp_path / "features.parquet"
    changed.to_parquet(path)
    config = configured(
        drawn, input__features=str(path), groups__record__number=["shelf", "page_count", "audit_score"]
    )

    with pytest.raises(
        InvalidData, match=r"colour is new .*revision2 is new .*revision is gone.*shelf was double, is float"
    ):
        run(config, incremental=True)
    assert _numbers(tmp_path / "run" / "store") == [1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 7}, "seed"),
        ({"projection__dimension": 64}, "projection.dimension"),
        ({"index__M": 16}, "index.M"),
        ({"weighting__enabled": False}, "weighting.enabled"),
    ],
)
def test_an_increment_with_other_settings_is_refused(
    run: Run, begun: ItemsReport, drawn: Path, change: dict[str, Any], name: str
) -> None:
    """A setting that decides vectors or index is named; one that does not may change (I-4)."""

    with pytest.raises(InvalidCheckpoint, match=rf"other settings of {name}; leave out --incremental"):
        run(configured(drawn, **change), incremental=True)
    assert run(configured(drawn, projection__batch_rows=300), incremental=True).body["vectors"]["new"] == 0


def test_an_increment_without_a_run_before_is_refused(run: Run, drawn: Path) -> None:
    """There is nothing to extend (I-4)."""
    with pytest.raises(InvalidCheckpoint, match=r"without a run to extend, leave out --incremental"):
        run(configured(drawn), incremental=True)


@pytest.mark.slow
def test_the_size_of_batches_decides_nothing(drawn: Path, tmp_path: Path) -> None:
    """Batches of 137 rows give the vectors of one batch within rounding (I-2)."""
    vectors = []
    for rows in (137, 50_000):
        out = tmp_path / str(rows)
        train_in(out, configured(drawn, projection__batch_rows=rows, projector__enabled=False))
        vectors.append(np.load(out / "models" / "vectors.npy"))

    assert np.allclose(*vectors, atol=1e-5)


def test_the_projector_can_be_left_out(run: Run, begun: ItemsReport, drawn: Path, tmp_path: Path) -> None:
    """With the key off there is no folder, also where a run before left one (I-3)."""
    run(configured(drawn, projector__enabled=False), overwrite=True)

    assert not (tmp_path / "run" / "models" / "tb_projector").exists()
    assert not (tmp_path / "run" / "models" / "tb_projector").is_symlink()


@pytest.mark.parametrize("missing", ["features", "metadata"])
def test_a_missing_input_is_one_line_and_writes_nothing(
    run: Run, drawn: Path, tmp_path: Path, missing: str
) -> None:
    """The file is named (I-7)."""
    config = configured(drawn, **{f"input__{missing}": str(tmp_path / "none.parquet")})

    with pytest.raises(InvalidData, match=r"none.parquet"):
        run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"labels": []}}, r"columns.item_id: Field required"),
        ({"input": {"features": "x"}}, r"input.metadata: Field required"),
        ({"groups": {}}, r"groups: "),
        ({"columns__targets": []}, r"columns.targets is missing: tool is target-encoded"),
        ({"groups__extra": {"log": ["cycle_s"]}}, r"named more than once: cycle_s"),
        ({"index__N": 3}, r"index.N: Extra inputs"),
        ({"output__models": "../elsewhere"}, r"output.models: .* no folder inside"),
    ],
)
def test_a_missing_or_wrong_parameter_is_named(drawn: Path, change: dict[str, Any], message: str) -> None:
    """Before any file is read (I-7)."""
    with pytest.raises(InvalidConfig, match=message):
        configured(drawn, **change)


def test_a_failed_save_leaves_outputs_and_store_as_they_were(
    run: Run, begun: ItemsReport, later: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while the index is saved: the file is named, nothing is half-written (I-7)."""

    def full(_index: object, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("trainer.items.train.save_hnsw_index", full)

    with pytest.raises(OSError, match=r"No space left on device: .*hnsw_index.bin"):
        run(configured(later), overwrite=True)
    assert json.loads((tmp_path / "run" / "models" / "training_metadata.json").read_text()) == begun.body
    assert _numbers(tmp_path / "run" / "store") == [1]
    assert len(list((tmp_path / "run" / "models" / ".runs").iterdir())) == 1


def test_a_new_run_does_not_destroy_another(
    run: Run, begun: ItemsReport, later: Path, tmp_path: Path
) -> None:
    """Results that are there stay, and the message names the remedies (I-5)."""
    with pytest.raises(RunExists, match=r"run/models .*--incremental.*--overwrite.*--out"):
        run(configured(later))

    assert json.loads((tmp_path / "run" / "models" / "training_metadata.json").read_text()) == begun.body


def test_two_runs_do_not_share_a_folder(run: Run, drawn: Path, tmp_path: Path) -> None:
    """The second is refused, naming the process of the first (I-5)."""
    with claimed(tmp_path / "run" / "models"), pytest.raises(FolderInUse, match=str(os.getpid())):
        run(configured(drawn, seed=42))


_DYING = """
import sys
from pathlib import Path
from model_store.store import ModelStore
from tests.trainer.items.conftest import configured
from trainer.items.train import train_items
from trainer.workspace import Workspace

def progress(stage, done, total, note=""):
    if stage == "index":
        print(stage, flush=True)
        sys.stdin.read()

out = Path(sys.argv[2])
space = Workspace(store=ModelStore.at(out / "store"), out=out, cache=out, progress=progress)
train_items(configured(Path(sys.argv[1])), space, overwrite=True)
"""


@pytest.mark.slow
def test_a_run_killed_in_the_middle_leaves_the_run_before(
    run: Run, begun: ItemsReport, later: Path, tmp_path: Path
) -> None:
    """kill -9 while it builds the index: outputs and store stay, the lock is free (I-5, I-7)."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", _DYING, str(later), str(out)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "index\n"
        child.kill()

    assert json.loads((out / "models" / "training_metadata.json").read_text()) == begun.body
    assert _numbers(out / "store") == [1]
    assert len(list((out / "models" / ".runs").iterdir())) == 2
    again = run(configured(later), incremental=True)
    assert again.body["model_version"] == "items/2"
    assert len(list((out / "models" / ".runs").iterdir())) == 1


def _items(report: ItemsReport) -> dict[str, np.ndarray]:
    version = report.published.version
    items = open_item_vectors(ModelStore(version.storage), version)
    return dict(zip(items.item_ids, np.array(items.vector_ND), strict=True))


def _numbers(store: Path) -> list[int]:
    return ModelStore.at(store).numbers("items")
