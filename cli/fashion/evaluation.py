"""`atelier fashion evaluate | search | sanity`: how good an encoder is, what it finds, whether it works."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from cli.command import Change, Json, Places, resolve_version, training_command
from cli.errors import FAILED
from cli.fashion.options import IMAGE, Config, Data, ImageModel, Part, app
from cli.output import print_answer, print_line, print_table
from trainer.reports.markdown import decimals


@training_command(app)
def evaluate(
    *,
    data: Data,
    run: Annotated[list[Path], Option(help="Folder of a run. Several runs are one ensemble.")],
    out: Annotated[Path | None, Option(help="Folder to write results/ into. Default: the run.")] = None,
    split: Annotated[
        Part | None,
        Option(
            help="Part of the split that gives queries and gallery. Default: test, or val without a test."
        ),
    ] = None,
    probes: Annotated[bool, Option(help="Compare with linear probes; only on test and val.")] = True,
    places: Places,
    as_json: Json = False,
) -> None:
    """Judge a trained encoder: whole gallery, both directions, per style and garment, groups of queries."""
    from trainer.fashion.evaluation.report import evaluate_run
    from trainer.fashion.trained_run import open_runs

    trained = open_runs(run, places.models)
    written = out or (run[0] if len(run) == 1 else run[0] / "ensemble")
    with places.workspace(written) as workspace:
        body = evaluate_run(trained, data, workspace, split=split, probes=probes)
    print_answer(body, partial(_print_evaluation, written / "results" / "evaluation.md"), as_json=as_json)


@training_command(app)
def search(
    *,
    data: Data,
    run: Annotated[Path, Option(help="Folder of a trained run.")],
    query: Annotated[
        str | None,
        Option(
            help='Record to search by, as JSON: {"category": "스커트"}. Default: the records of --samples.'
        ),
    ] = None,
    samples: Annotated[
        int, Option(min=1, max=100, help="Number of garments whose records are queries.")
    ] = 20,
    k: Annotated[int, Option("--k", min=1, max=1000, help="Number of pictures to find for each query.")] = 5,
    split: Annotated[
        Part | None,
        Option(
            help="Part of the split whose garments are the gallery. Default: test, or val without a test."
        ),
    ] = None,
    fast: Annotated[bool, Option("--fast", "--quick", help="Train the run first, for two epochs.")] = False,
    image: ImageModel = IMAGE,
    places: Places,
    as_json: Json = False,
) -> None:
    """Search pictures by records; a sheet of each style goes to RUN/results/similarity_search."""
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.evaluation.encoded import choose_samples
    from trainer.fashion.quick import train_quickly
    from trainer.fashion.search import (
        read_query,
        search_record,
        search_samples,
        write_searches,
    )
    from trainer.fashion.trained_run import open_run, read_prepared

    with places.workspace(run) as workspace:
        if fast:
            train_quickly(data, resolve_version(places.models, image), workspace, read_fashion_config())
        trained = open_run(run, places.models)
        prepared = read_prepared(data, trained, workspace.progress)
        encoded = trained.encode_garments(prepared.part(split or prepared.split.judged), workspace)
    if query is None:
        searches = search_samples(encoded, choose_samples(encoded.styles, samples), k)
    else:
        record = trained.schema.normalise(trained.named(read_query(query)))
        vector_D = trained.encode_records([record])[0]
        searches = (search_record(record, vector_D, encoded, k),)
    body = write_searches(run, searches, encoded.garments, trained)
    print_answer(body, partial(_print_searches, run, sampled=query is None), as_json=as_json)


@training_command(app)
def sanity(
    *,
    data: Annotated[Path | None, Option(help="Folder of prepared garments. Default: drawn garments.")] = None,
    out: Annotated[Path, Option(help="Folder to write runs and results into.")] = Path("var/sanity"),
    config: Config = None,
    change: Change = None,
    image: Annotated[
        str | None,
        Option(help="Published image model, as MODEL@ALIAS. Default: the model packaged with Atelier."),
    ] = None,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train, export and search on a small set; fail if a step or a figure of it is wrong."""
    import defaults
    from trainer.configuration import parse_settings
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.studies.sanity import RESULTS_FILE, RESULTS_FOLDER, check_sanity

    if image is None:
        places = replace(places, store=defaults.STORE)
    version = resolve_version(places.models, image or IMAGE)
    settings = read_fashion_config(config, parse_settings(change or ()))
    with places.workspace(out) as workspace:
        body = check_sanity(settings, version, workspace, data)
    print_answer(body, partial(_print_checks, out / RESULTS_FOLDER / RESULTS_FILE), as_json=as_json)
    if not body["passed"]:
        raise typer.Exit(FAILED)


def _print_evaluation(report: Path, body: dict[str, Any]) -> None:
    from trainer.fashion.evaluation.markdown import notes_on, rows_of

    columns = ("figure", "#value", "#chance", "#tie ceiling")
    print_table(f"{body['garments']} garments, {body['split']}", columns, rows_of(body))
    if "probes" in body:
        _print_probes(body["probes"])
    _print_groups(body["query_groups"])
    _print_targets(body)
    for note in notes_on(body):
        print_line(note)
    print_line(f"full report: {report}")


def _print_groups(groups: dict[str, Any]) -> None:
    from trainer.fashion.evaluation.markdown import rows_of_groups

    columns = ("group", "#queries", "#Top-1", "#Recall@5", "#Recall@10")
    print_table("groups of queries", columns, rows_of_groups(groups))
    verdicts = groups["anchors_against_others"].items()
    compared = ", ".join(f"{figure} {comparison['verdict']}" for figure, comparison in verdicts)
    print_line(f"anchors against all others: {compared}")


def _print_targets(body: dict[str, Any]) -> None:
    from trainer.fashion.evaluation.markdown import rows_of_targets

    columns = (
        "figure",
        "target",
        "#gallery",
        "#chance",
        "#ceiling",
        "#probes",
        "#in batch",
        "#chance",
        "#ceiling",
        "",
    )
    print_table("targets on real data", columns, rows_of_targets(body))


def _print_probes(probes: dict[str, Any]) -> None:
    share = probes["share"]
    rows = [
        ("Recall@10 of linear probes", decimals(probes["recall"]["10"])),
        ("  the encoder's share of it", decimals(share["recall@10"])),
        ("agreement@10 of linear probes", decimals(probes["agreement"]["precision"].get("10"))),
        ("  the encoder's share of it", decimals(share["agreement@10"])),
    ]
    title = f"compared with {probes['words']} linear probes on the image vectors"
    print_table(title, ("figure", "#value"), rows)


def _print_searches(run: Path, body: dict[str, Any], *, sampled: bool) -> None:
    from trainer.fashion.evaluation.markdown import notes_on_words

    rows = [
        (query["item_id"] or "query", query["own_place"] or "", item["item_id"], f"{item['similarity']:.3f}")
        for query in body["searches"]
        for item in query["found"][: 1 if sampled else None]
    ]
    print_table(f"nearest of {body['gallery_size']}", ("query", "#own place", "found", "#similarity"), rows)
    for note in notes_on_words(body["unknown_words"]):
        print_line(note)
    if sampled:
        print_line(f"own picture among the first {body['k']}: {body['own_found']} of {body['samples']}")
    print_line(f"pictures: {run / 'results' / 'similarity_search'}")


def _print_checks(results: Path, body: dict[str, Any]) -> None:
    rows = [
        (name, "pass" if outcome["passed"] else "FAIL", outcome["found"])
        for name, outcome in body["checks"].items()
    ]
    print_table(f"{body['garments']} garments, {body['seconds']} s", ("check", "", "found"), rows)
    print_line(f"written: {results}")
    failed = [name for name, outcome in body["checks"].items() if not outcome["passed"]]
    print_line(f"SANITY CHECK {'FAIL: ' + ', '.join(failed) if failed else 'PASS'}")
