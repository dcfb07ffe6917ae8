"""`atelier fashion …`: what is drawn, what is prepared (F-1, F-2, F-5, F-6)."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


@pytest.fixture(scope="module")
def kfashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.synthetic.kfashion import write_kfashion

    return write_kfashion(tmp_path_factory.mktemp("kfashion"), 60, seed=3)


def _records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "garments.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_drawn_photographs_with_everything_odd_are_prepared(
    runner: CliRunner, kfashion: Path, tmp_path: Path
) -> None:
    """Every word is known, looks stay together, and nothing is left out without a reason."""
    # proves F-1, F-2, F-4, F-5
    from trainer.fashion.config import read_fashion_config

    out = tmp_path / "out"
    run = runner.invoke(
        app,
        ["fashion", "prepare", "--kfashion", str(kfashion), "--styles", "all", "--out", str(out), "--json"],
    )

    assert run.exit_code == 0, run.output
    report, records = json.loads(run.stdout), _records(out)
    assert report["garments"] == len(records) > 50
    assert sum(report["label_files"].values()) == 60
    words = {field.name: set(field.words) for field in read_fashion_config().attributes.fields}
    for record in records:
        for name, value in record["attributes"].items():
            assert {value} if isinstance(value, str) else set(value) <= words[name]
        assert (out / record["path"]).exists()
    groups = {}
    for record in records:
        groups.setdefault(record["group"], set()).add(record["split"])
    assert all(len(parts) == 1 for parts in groups.values())
    assert {part for parts in groups.values() for part in parts} == {"train", "val", "test"}
    assert set(report["excluded"]) <= {"no polygon and no rectangle"}


@pytest.mark.slow
def test_a_folder_is_checked_by_command(runner: CliRunner, kfashion: Path, tmp_path: Path) -> None:
    """Exit code 1 and an example where anything is unusable, 0 where nothing is; nothing is written (F-1)."""
    before = sorted(kfashion.rglob("*"))

    found = runner.invoke(app, ["fashion", "check", "--kfashion", str(kfashion), "--no-pictures"])
    run = runner.invoke(app, ["fashion", "check", "--kfashion", str(kfashion), "--json"])

    assert found.exit_code == 0, found.output
    assert "CHECK PASS" in found.stdout
    report = json.loads(run.stdout)
    assert sum(report["label_files"].values()) == report["photographs"] == 60
    assert report["in_looks"] == 60
    assert run.exit_code == (1 if report["excluded"] else 0)
    assert sorted(kfashion.rglob("*")) == before


@pytest.mark.slow
def test_another_root_is_one_line(runner: CliRunner, tmp_path: Path) -> None:
    """The path that was looked in, and what was expected there (F-1)."""
    run = runner.invoke(
        app, ["fashion", "prepare", "--kfashion", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    )

    assert run.exit_code == 1
    assert "no label file of 레트로, 로맨틱, 리조트" in run.output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --kfashion ROOT, or --attributes FILE with --images DIR"),
        (["--kfashion", "a", "--attributes", "b"], "give --kfashion ROOT, or --attributes FILE"),
        (["--attributes", "b.csv"], "needs --images"),
    ],
)
def test_half_a_question_is_asked_back(
    runner: CliRunner, tmp_path: Path, options: list[str], said: str
) -> None:
    """One source, whole."""
    run = runner.invoke(app, ["fashion", "prepare", *options, "--out", str(tmp_path)])

    assert run.exit_code != 0
    assert said in " ".join(run.output.split())


@pytest.mark.slow
def test_augmentation_is_seen_before_it_is_trained(runner: CliRunner, tmp_path: Path) -> None:
    """A sheet of pictures with their views, and the records before and after (F-22)."""
    from trainer.synthetic.garments import write_garments

    write_garments(tmp_path / "data", 12, seed=1)
    places = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]

    run = runner.invoke(
        app,
        ["fashion", "augment", *places, "--set", "augmentation.views=2"],
    )

    assert run.exit_code == 0, run.output
    assert (tmp_path / "out" / "results" / "augmentation_samples.png").exists()
    assert run.output.count("before  category: ") == 8


@pytest.mark.slow
def test_a_shop_is_prepared(runner: CliRunner, tmp_path: Path) -> None:
    """The table's rows become garments with their own words; the next step is printed (F-2)."""
    from trainer.synthetic.garments import write_garments

    write_garments(tmp_path / "drawn", 12, seed=1)
    rows = [json.loads(line) for line in (tmp_path / "drawn" / "garments.jsonl").read_text().splitlines()]
    table = tmp_path / "shop.jsonl"
    table.write_text("".join(json.dumps({"image": row["path"], **row["attributes"]}) + "\n" for row in rows))
    out = tmp_path / "out"
    words = ["--attributes", str(table), "--images", str(tmp_path / "drawn"), "--out", str(out)]

    run = runner.invoke(app, ["fashion", "prepare", *words])

    assert run.exit_code == 0, run.output
    assert len(_records(out)) == 12
    assert "tie ceiling at 10" in run.stdout
    assert f"to train: atelier fashion train --data {out} --out RUN\n" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("styles", "code"), [("레트로", 0), ("레트로, 로맨틱", 0), ("펑키레트로", 1)])
def test_styles_are_chosen_by_name(
    runner: CliRunner, kfashion: Path, tmp_path: Path, styles: str, code: int
) -> None:
    """`--styles` takes names separated by commas; a name that K-Fashion does not have is an error (F-1)."""
    words = ["--kfashion", str(kfashion), "--styles", styles, "--out", str(tmp_path / "out"), "--json"]
    # Few looks of one style: no test part.
    words += ["--set", "split.test=0"]

    run = runner.invoke(app, ["fashion", "prepare", *words])

    assert run.exit_code == code, run.output
    if code == 0:
        wanted = {word.strip() for word in styles.split(",")}
        assert set(json.loads(run.stdout)["by_style_folder"]) <= wanted
    else:
        assert styles in run.stderr


def test_drawings_depend_on_their_seed(runner: CliRunner, tmp_path: Path) -> None:
    """The same seed draws the same garments, another seed others; the path is printed."""
    words = ["fashion", "synthesise", "--count", "4"]
    for name, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        run = runner.invoke(app, [*words, "--out", str(tmp_path / name), "--seed", seed])
        assert run.exit_code == 0, run.output
        assert str(tmp_path / name) in run.stdout

    one, again, other = (
        (tmp_path / name / "garments.jsonl").read_text() for name in ("one", "again", "other")
    )
    assert one == again != other
    assert len(_records(tmp_path / "one")) == 4


@pytest.mark.slow
def test_photographs_of_k_fashion_are_drawn(runner: CliRunner, tmp_path: Path) -> None:
    """`--kfashion` draws photographs with label files instead; `--count` is theirs."""
    run = runner.invoke(app, ["fashion", "synthesise", "--kfashion", "--count", "6", "--out", str(tmp_path)])

    assert run.exit_code == 0, run.output
    assert len(list(tmp_path.rglob("*.json"))) == 6


def test_one_garment_is_too_few(runner: CliRunner, tmp_path: Path) -> None:
    """The least `--count` is 2: with one garment nothing could be found among others."""
    run = runner.invoke(app, ["fashion", "synthesise", "--count", "1", "--out", str(tmp_path / "out")])

    assert run.exit_code == 2
    assert not (tmp_path / "out").exists()
