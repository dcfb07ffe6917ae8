"""`atelier fashion evaluate | search`: how good a trained encoder is, and what it finds."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.fashion.app import CACHE, IMAGE, STORE, AsJson, Cache, Data, Image, Run, Store, app, resolve_image
from cli.output import console, print_json, print_table
from model_store.store import ModelStore


@app.command()
def evaluate(
    data: Data,
    run: Annotated[list[Path], typer.Option(help="Folder of a trained run; several answer as one encoder.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write results/ into; that of the run.")] = None,
    split: Annotated[
        Literal["train", "val", "all"],
        typer.Option(help="The garments to ask about; they are the gallery too."),
    ] = "val",
    probes: Annotated[
        bool, typer.Option(help="Linear probes on the same image vectors beside it, for --split val.")
    ] = True,
    store: Store = STORE,
    cache: Cache = CACHE,
    as_json: AsJson = False,
) -> None:
    """Judge a trained encoder: whole gallery, both directions, per style and garment, groups of queries."""
    with reported(), training_extra():
        from trainer.fashion.evaluation.markdown import rows_of
        from trainer.fashion.evaluation.run import evaluate_run
        from trainer.fashion.reopening import open_runs
        from trainer.progress import bars
        from trainer.workspace import Workspace

        models = ModelStore.at(store)
        trained = open_runs(run, models)
        written = out or (run[0] if len(run) == 1 else run[0] / "ensemble")
        with bars() as progress:
            space = Workspace(store=models, out=written, cache=cache, progress=progress)
            body = evaluate_run(trained, data, space, split=split, probes=probes)
        if as_json:
            print_json(body)
            return
        print_table(
            f"{body['garments']} garments, {split}",
            ("figure", "#value", "#chance", "#tie ceiling"),
            rows_of(body),
        )
        if "probes" in body:
            _print_probes(body["probes"])
        _print_groups(body["query_groups"])
        console.print(f"all of it: {written / 'results' / 'evaluation.md'}", markup=False)


def _print_groups(groups: dict[str, Any]) -> None:
    rows = [
        (
            name,
            group["queries"],
            *(_interval(group.get(figure)) for figure in ("top1", "recall@5", "recall@10")),
        )
        for name, group in groups.items()
        if "queries" in group
    ]
    print_table("groups of queries", ("group", "#queries", "#Top-1", "#Recall@5", "#Recall@10"), rows)
    verdicts = groups["anchors_against_others"].items()
    told = ", ".join(f"{figure} {one['verdict']}" for figure, one in verdicts)
    console.print(f"anchors against all others: {told}", markup=False)


def _print_probes(probes: dict[str, Any]) -> None:
    share = probes["share"]
    rows = [
        ("Recall@10 of linear probes", _number(probes["recall"]["10"])),
        ("  the encoder's share of it", _number(share["recall@10"])),
        ("agreement@10 of linear probes", _number(probes["agreement"]["precision"].get("10"))),
        ("  the encoder's share of it", _number(share["agreement@10"])),
    ]
    print_table(f"beside {probes['words']} linear probes on the image vectors", ("figure", "#value"), rows)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _interval(share: dict[str, float] | None) -> str:
    return "" if share is None else f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"


@app.command()
def search(
    data: Data,
    run: Run,
    query: Annotated[
        str | None, typer.Option(help='A record as JSON instead of samples: {"category": "스커트"}.')
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=100, help="Garments whose records ask.")] = 20,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Pictures to find for each.")] = 5,
    split: Annotated[Literal["train", "val", "all"], typer.Option(help="The gallery.")] = "val",
    fast: Annotated[
        bool,
        typer.Option("--fast", "--quick", help="Without a trained run: train one of two short epochs first."),
    ] = False,
    image: Image = IMAGE,
    store: Store = STORE,
    cache: Cache = CACHE,
    as_json: AsJson = False,
) -> None:
    """Show what records find: a picture a style, under RUN/results/similarity_search."""
    with reported(), training_extra():
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.quick import train_quickly
        from trainer.fashion.reopening import encode_garments, encode_records, open_run, read_prepared
        from trainer.fashion.search import (
            choose_samples,
            read_query,
            search_record,
            search_samples,
            write_searches,
        )
        from trainer.progress import bars
        from trainer.workspace import Workspace

        models = ModelStore.at(store)
        with bars() as progress:
            space = Workspace(store=models, out=run, cache=cache, progress=progress)
            if fast:
                train_quickly(data, resolve_image(models, image), space, read_fashion_config())
            trained = open_run(run, models)
            encoded = encode_garments(
                trained.encoder, trained, read_prepared(data, trained).part(split), space
            )
        if query is None:
            found = search_samples(encoded, choose_samples(encoded.words("style"), samples), k)
        else:
            record = trained.schema.normalise(read_query(query))
            vector_D = encode_records(trained.encoder, trained.preprocessing, [record])[0]
            found = (search_record(record, vector_D, encoded, k),)
        body = write_searches(run, found, encoded.garments)
        if as_json:
            print_json(body)
            return
        _print_searches(body, query is None)
        console.print(f"pictures: {run / 'results' / 'similarity_search'}", markup=False, highlight=False)


def _print_searches(body: dict[str, Any], sampled: bool) -> None:
    rows = [
        (one["item_id"] or "query", one["own_place"] or "", found["item_id"], f"{found['similarity']:.3f}")
        for one in body["searches"]
        for found in one["found"][: 1 if sampled else None]
    ]
    print_table(f"nearest of {body['gallery_size']}", ("query", "#own place", "found", "#similarity"), rows)
    if sampled:
        console.print(f"own picture among the first {body['k']}: {body['own_found']} of {body['samples']}")
