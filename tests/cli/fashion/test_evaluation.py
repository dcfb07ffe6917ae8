"""`atelier fashion train | evaluate | search | sanity` as they are typed, on the packaged image model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import defaults
from cli.fashion.evaluation import _print_checks, _print_groups, _print_probes, _print_searches
from cli.main import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Garments, and a quick run on them with its ablation."""
    path = tmp_path_factory.mktemp("fashion")
    run = CliRunner()
    drawn = run.invoke(app, ["fashion", "synthesise", "--out", str(path / "data"), "--count", "70"])
    assert drawn.exit_code == 0, drawn.output
    how = [
        "--out",
        str(path / "run"),
        "--quick",
        "--ablation",
        "--json",
        "--set",
        "training.wandb_enabled=false",
    ]
    done = run.invoke(app, ["fashion", "train", *_paths(path), *how])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert len(body["epochs"]) == 2
    assert body["ablation"]["verdict"]
    return path


def _paths(folder: Path) -> list[str]:
    return ["--data", str(folder / "data"), "--store", str(defaults.STORE), "--cache", str(folder / "cache")]


@pytest.mark.slow
def test_an_evaluation_is_printed_and_written(runner: CliRunner, folder: Path) -> None:
    """A table for people, JSON for machines; chance and ceiling beside every recall (F-12, F-13)."""
    shown = runner.invoke(app, ["fashion", "evaluate", *_paths(folder), "--run", str(folder / "run")])
    assert shown.exit_code == 0, shown.output
    assert "tie ceiling" in shown.stdout
    assert "anchors against all others" in shown.stdout
    for words in ("garments, test", "targets on real data", "Top-1, after tuning"):
        assert words in shown.stdout

    without_probes = runner.invoke(
        app, ["fashion", "evaluate", *_paths(folder), "--run", str(folder / "run"), "--json", "--no-probes"]
    )
    body = json.loads(without_probes.stdout)
    assert "probes" not in body
    assert body["gallery"]["image_to_record"]["gallery_size"] == body["garments"]


@pytest.mark.slow
def test_samples_and_a_record_of_ones_own_are_searched(runner: CliRunner, folder: Path) -> None:
    """`--samples` and `--k` are bounded; pictures lie beside the run (F-20)."""
    command = ["fashion", "search", *_paths(folder), "--run", str(folder / "run")]
    done = runner.invoke(app, [*command, "--samples", "6", "--k", "3", "--json"])
    body = json.loads(done.stdout)
    assert [len(one["found"]) for one in body["searches"]] == [3] * 6
    pictures = folder / "run" / "results" / "similarity_search"
    assert {path.name for path in pictures.glob("*.png")} == set(body["pictures"].values())

    own = runner.invoke(app, [*command, "--query", '{"category": "스커트"}', "--split", "all"])
    assert own.exit_code == 0, own.output
    for bad, reason in (
        ("--samples=101", "less than or equal to 100"),
        ("--query={", "not JSON"),
        ('--query={"x": 1}', "unknown field"),
    ):
        refused = runner.invoke(app, [*command, bad])
        assert refused.exit_code != 0
        assert reason in refused.output


@pytest.mark.slow
def test_a_search_without_a_run_says_what_to_do(runner: CliRunner, folder: Path, tmp_path: Path) -> None:
    """One line, no trace."""
    refused = runner.invoke(app, ["fashion", "search", *_paths(folder), "--run", str(tmp_path)])

    assert refused.exit_code == 1
    assert "train first" in refused.output
    assert "Traceback" not in refused.output


@pytest.mark.slow
def test_a_sane_build_says_so(runner: CliRunner, tmp_path: Path) -> None:
    """Without data, without a store of one's own (F-19)."""
    command = ["fashion", "sanity", "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    done = runner.invoke(app, [*command, "--set", "training.wandb_enabled=false"])

    assert done.exit_code == 0, done.output
    assert "SANITY CHECK PASS" in done.stdout
    assert json.loads((tmp_path / "temp_logs" / "sanity_check_results.json").read_text())["passed"]


@pytest.mark.slow
def test_an_unsound_build_fails_by_name(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 1 and the check that failed is named (F-19)."""
    from trainer.fashion.studies import sanity

    monkeypatch.setattr(sanity, "NORM_TOLERANCE", -1.0)
    command = ["fashion", "sanity", "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    done = runner.invoke(app, [*command, "--set", "training.wandb_enabled=false"])

    assert done.exit_code == 1
    assert "SANITY CHECK FAIL: norm, field processing" in done.stdout


def test_a_failed_check_is_named_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Each check has its figure; the verdict lists those that failed (F-19)."""
    checks = {"norm": {"passed": True, "found": "1.0"}, "loss": {"passed": False, "found": "rises"}}

    _print_checks(Path("out/results.json"), {"garments": 8, "seconds": 1.5, "checks": checks})

    out = capsys.readouterr().out
    assert "8 garments, 1.5 s" in out
    assert "│ loss  │ FAIL │ rises │" in out
    assert out.endswith("written: out/results.json\nSANITY CHECK FAIL: loss\n")


@pytest.mark.slow
def test_samples_show_their_nearest_and_a_query_all(capsys: pytest.CaptureFixture[str]) -> None:
    """A sample is a row with the place of its own picture; a record of one's own lists what it finds."""
    found = [{"item_id": "a", "similarity": 0.9}, {"item_id": "b", "similarity": 0.8}]
    body = {
        "gallery_size": 16,
        "k": 2,
        "own_found": 1,
        "samples": 1,
        "unknown_words": {"detail": {"날개": 2}},
    }
    sample = {"item_id": "x", "own_place": 3, "found": found}
    query = {"item_id": None, "own_place": None, "found": found}

    _print_searches(Path("run"), {**body, "searches": [sample]}, sampled=True)
    sampled = capsys.readouterr().out
    _print_searches(Path("run"), {**body, "searches": [query]}, sampled=False)
    queried = capsys.readouterr().out

    assert "│ x     │         3 │ a     │      0.900 │" in sampled
    assert "own picture among the first 2: 1 of 1" in sampled
    assert "does not know 1 words of detail (2 times): 날개" in sampled
    assert "0.800" not in sampled
    assert "│ query │           │ b     │      0.800 │" in queried


def test_groups_have_intervals_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """A share is shown with its 95 % interval; the comparison of anchors with all others is below (F-15)."""
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    comparison = {"recall@10": {"verdict": "no difference"}}

    _print_groups({"all": {"queries": 9, "top1": share}, "anchors_against_others": comparison})

    out = capsys.readouterr().out
    assert "0.500 [0.400, 0.600]" in out
    assert "anchors against all others: recall@10 no difference" in out


def test_a_figure_of_the_probes_may_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Agreement that no query allows is "none"; the encoder's share stands below each figure."""
    probes = {
        "words": 7,
        "recall": {"10": 0.25},
        "agreement": {"precision": {}},
        "share": {"recall@10": 0.8, "agreement@10": None},
    }

    _print_probes(probes)

    out = capsys.readouterr().out
    assert "7 linear probes" in out
    assert out.count("none") == 2
    assert "0.250" in out
    assert "0.800" in out
