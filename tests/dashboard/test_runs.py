"""Runs below a folder: listed, read and never left (D-1)."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from dashboard.document import (
    CategorySearches,
    ItemCounts,
    SearchExample,
    SearchMatch,
    SearchQuery,
    TopImages,
)
from dashboard.errors import InvalidRunRequest, RunNotFound, UnreadableDashboard
from dashboard.recorder import RunRecorder, recording
from dashboard.run_files import document_path, header_path, lock_path
from dashboard.runs import RunCatalogue


def run_in(folder: Path, epochs: int = 1, written_s: int = 0) -> str:
    """A finished run with a picture; returns the picture's name."""
    with recording(folder, "fashion", {}) as recorder:
        recorder.begin("training", epochs, ItemCounts(items=1))
        name = recorder.keep_picture(b"webp", ".webp")
        _show(recorder, name)
        recorder.restore({epoch: {"val_loss": float(epoch % 7)} for epoch in range(1, epochs)})
        recorder.record(epochs, {"val_loss": 1.0})
    if written_s:
        os.utime(header_path(folder), (written_s, written_s))
    return name


def _show(recorder: RunRecorder, name: str) -> None:
    match = SearchMatch(item_id="1", image=name, score=1)
    example = SearchExample(query=SearchQuery(label="q"), results=[match])
    recorder.show_part(top_k_images=TopImages(categories=[CategorySearches(category="c", queries=[example])]))


def ids(runs: RunCatalogue) -> list[str]:
    """Ids in order, page by page of two."""
    listed, token = [], ""
    while True:
        page = runs.page(page_size=2, page_token=token)
        listed += [run.run_id for run in page.runs]
        if not (token := page.next_page_token):
            assert page.total_count == len(listed)
            return listed


def test_runs_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    """Runs at any depth are listed a page at a time, the last written first; other folders are no runs."""
    for number, name in enumerate(["one", "group/two", "group/deep/세번째", "one/ablation", "five"]):
        run_in(tmp_path / name, written_s=1_000_000 + number)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    run_in(tmp_path / ".hidden")

    assert ids(RunCatalogue(tmp_path)) == ["five", "one/ablation", "group/deep/세번째", "group/two", "one"]


def test_a_page_goes_on_after_a_run_that_moved(tmp_path: Path) -> None:
    """A run that writes between two pages is neither shown twice nor pushes another one out."""
    for number in range(4):
        run_in(tmp_path / str(number), written_s=1_000_000 + number)
    runs = RunCatalogue(tmp_path)
    first = runs.page(page_size=2)
    os.utime(header_path(tmp_path / "3"), (2_000_000, 2_000_000))
    second = runs.page(page_size=2, page_token=first.next_page_token)

    assert [run.run_id for run in (*first.runs, *second.runs)] == ["3", "2", "1", "0"]


def test_no_folder_of_runs_is_no_error(tmp_path: Path) -> None:
    """Where nothing was trained yet, the list is empty."""
    page = RunCatalogue(tmp_path / "missing").page()

    assert (page.runs, page.total_count, page.next_page_token) == ((), 0, "")


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 99}', "[]", "null", "{}"])
def test_a_damaged_run_is_listed_with_its_problem(tmp_path: Path, content: str) -> None:
    """A header that cannot be read is shown as a problem; the other runs are listed. (S-10)"""
    run_in(tmp_path / "good")
    run_in(tmp_path / "bad")
    header_path(tmp_path / "bad").write_text(content)
    document_path(tmp_path / "bad").write_text(content)
    runs = RunCatalogue(tmp_path)
    listed = {run.run_id: run for run in runs.page().runs}

    assert listed["good"].problem is None
    assert listed["bad"].kind == "unknown"
    assert "run 'bad': run.json is not of schema version 1" in (listed["bad"].problem or "")
    with pytest.raises(UnreadableDashboard, match=r"dashboard\.json is not of schema version 1"):
        runs.read("bad")


def test_a_lock_that_cannot_be_opened_hides_no_other_run(tmp_path: Path) -> None:
    """A run whose lock is a link is listed with that problem, the others as they are. (S-10)"""
    run_in(tmp_path / "good")
    run_in(tmp_path / "bad")
    for path in (header_path(tmp_path / "bad"), document_path(tmp_path / "bad")):
        path.write_text(path.read_text().replace('"state":"done"', '"state":"running"'))
    lock_path(tmp_path / "bad").unlink()
    lock_path(tmp_path / "bad").symlink_to(lock_path(tmp_path / "good"))
    runs = RunCatalogue(tmp_path)
    listed = {run.run_id: run.problem for run in runs.page().runs}

    assert listed["good"] is None
    assert (listed["bad"] or "").startswith("run 'bad': .dashboard.lock cannot be opened")
    with pytest.raises(UnreadableDashboard, match="cannot be opened"):
        runs.read("bad")


def test_a_curve_with_a_series_of_another_length_is_damage(tmp_path: Path) -> None:
    """It is refused by name, however many points are asked for. (S-10)"""
    run_in(tmp_path / "run", epochs=50)
    body = json.loads(document_path(tmp_path / "run").read_text())
    body["loss_curve"]["series"]["val_loss"].pop()
    document_path(tmp_path / "run").write_text(json.dumps(body))

    for points in (10, 2_000):
        with pytest.raises(UnreadableDashboard, match="val_loss has 49 values for 50 epochs"):
            RunCatalogue(tmp_path).read("run", points=points)


def test_a_document_is_read_with_as_many_points_as_asked_for(tmp_path: Path) -> None:
    """A reader asks for fewer points than the document has, and gets the extremes among them."""
    run_in(tmp_path / "run", epochs=3_000)
    runs = RunCatalogue(tmp_path)
    whole, few = runs.read("run"), runs.read("run", points=100)

    assert 1_000 < len(whole.loss_curve.epochs) <= 2_000
    assert 50 < len(few.loss_curve.epochs) <= 100
    assert max(v for v in few.loss_curve.series["val_loss"] if v is not None) == 6


@pytest.mark.parametrize("points", [-1, 0, 1, 2, 2_001])
def test_a_wrong_number_of_points_is_refused(tmp_path: Path, points: int) -> None:
    """Numbers out of range, and too few to hold the extremes, are errors that say so."""
    run_in(tmp_path / "run", epochs=10)

    with pytest.raises(InvalidRunRequest, match=f"points {points}"):
        RunCatalogue(tmp_path).read("run", points=points)


HOSTILE = [
    "..", ".", "", "/", "/etc", "../run", "run/..", "run/../../x", "run//x", "run/", "a\0b", "a\nb", "..\\x",
    ".hidden", "x" * 2_000, "é" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_run_id_is_refused(tmp_path: Path, name: str) -> None:
    """An id that is no plain path below the folder of runs is refused before any file is opened. (S-5)"""
    run_in(tmp_path / "run")

    with pytest.raises(InvalidRunRequest, match="run_id"):
        RunCatalogue(tmp_path).read(name)


@pytest.mark.parametrize("name", [*HOSTILE, "results/dashboard.json", "checkpoints/last.pt", "results/x.png"])
def test_only_named_pictures_are_given(tmp_path: Path, name: str) -> None:
    """A file that the document does not name as a picture is not given away. (S-5)"""
    picture = run_in(tmp_path / "run")
    runs = RunCatalogue(tmp_path)

    assert runs.picture("run", picture).content == b"webp"
    assert runs.picture("run", picture).media_type == "image/webp"
    with pytest.raises(RunNotFound):
        runs.picture("run", name)


@pytest.mark.parametrize("named", ["../secret.webp", "/etc/passwd.png", "results/../../secret.webp"])
def test_a_document_that_names_a_file_outside_gives_none(tmp_path: Path, named: str) -> None:
    """A document written by somebody else cannot make the reader leave the run. (S-5)"""
    (tmp_path / "secret.webp").write_bytes(b"secret")
    with recording(tmp_path / "run", "fashion", {}) as recorder:
        _show(recorder, named)

    with pytest.raises((InvalidRunRequest, RunNotFound)):
        RunCatalogue(tmp_path).picture("run", named)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link to a run, to results or to a picture outside is not a run and not a picture. (S-5)"""
    root, outside = tmp_path / "runs", tmp_path / "outside"
    picture, inner = run_in(outside), run_in(root / "inner")
    (root / "linked").symlink_to(outside)
    (root / "half").mkdir()
    (root / "half" / "results").symlink_to(outside / "results")
    (root / "inner" / inner).unlink()
    (root / "inner" / inner).symlink_to(outside / picture)
    runs = RunCatalogue(root)

    assert "linked" not in ids(runs)
    assert {run.run_id: run.problem is None for run in runs.page().runs} == {"inner": True, "half": False}
    for run_id in ("linked", "half"):
        with pytest.raises(RunNotFound):
            runs.read(run_id)
    with pytest.raises(RunNotFound):
        runs.picture("inner", inner)


def test_a_pipe_or_a_giant_is_not_read(tmp_path: Path) -> None:
    """A pipe in the place of a document is no run, and a file beyond its cap is not loaded. (S-5)"""
    run_in(tmp_path / "pipe")
    document_path(tmp_path / "pipe").unlink()
    os.mkfifo(document_path(tmp_path / "pipe"))
    run_in(tmp_path / "giant")
    os.truncate(document_path(tmp_path / "giant"), 40 << 20)
    runs = RunCatalogue(tmp_path)

    with pytest.raises(RunNotFound):
        runs.read("pipe")
    with pytest.raises(UnreadableDashboard, match="holds 41943040 bytes, 33554432 at most"):
        runs.read("giant")


@pytest.mark.parametrize("token", ["x", "MQ", "b'", "=", "MSAx" * 10 + "!"])
def test_a_token_of_no_page_is_refused(tmp_path: Path, token: str) -> None:
    """A page token that no page gave is an error that says so."""
    with pytest.raises(InvalidRunRequest, match="page_token"):
        RunCatalogue(tmp_path).page(page_token=token)


@pytest.mark.parametrize("size", [0, -1, 201])
def test_a_page_has_bounds(tmp_path: Path, size: int) -> None:
    """A page holds 1 to 200 runs."""
    with pytest.raises(InvalidRunRequest, match=f"page_size {size}: 1 to 200"):
        RunCatalogue(tmp_path).page(page_size=size)


@pytest.mark.slow
def test_a_thousand_long_runs_are_listed_quickly(tmp_path: Path) -> None:
    """1,000 runs of long curves are listed in less than 300 ms of this process. (D-1)"""
    run_in(tmp_path / "runs" / "0", epochs=9_000)
    results = tmp_path / "runs" / "0" / "results"
    for number in range(1, 1_000):
        shutil.copytree(results, tmp_path / "runs" / str(number) / "results", copy_function=os.link)
    runs = RunCatalogue(tmp_path / "runs")
    spent = []
    for _ in range(3):
        began = time.process_time()
        page = runs.page(page_size=50)
        spent.append(time.process_time() - began)

    assert page.total_count == 1_000
    assert min(spent) < 0.3, spent
