"""`atelier fashion evaluate | search`: how good a trained encoder is, and what it finds."""

from typing import Annotated, Any, Literal

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.fashion.app import CACHE, STORE, AsJson, Cache, Data, Run, Store, app
from cli.output import console, print_json, print_table
from model_store.store import ModelStore


@app.command()
def evaluate(
    data: Data,
    run: Run,
    split: Annotated[
        Literal["train", "val", "all"],
        typer.Option(help="The garments to ask about; they are the gallery too."),
    ] = "val",
    probes: Annotated[bool, typer.Option(help="Linear probes on the same image vectors beside it.")] = True,
    store: Store = STORE,
    cache: Cache = CACHE,
    as_json: AsJson = False,
) -> None:
    """Judge a trained encoder: whole gallery, both directions, per style and garment, groups of queries."""
    with reported(), training_extra():
        from trainer.fashion.evaluation.markdown import rows_of
        from trainer.fashion.evaluation.run import evaluate_run
        from trainer.fashion.reopening import open_run
        from trainer.progress import bars
        from trainer.workspace import Workspace

        models = ModelStore.at(store)
        trained = open_run(run, models)
        with bars() as progress:
            space = Workspace(store=models, out=run, cache=cache, progress=progress)
            body = evaluate_run(trained, data, space, split=split, probes=probes)
        if as_json:
            print_json(body)
            return
        print_table(
            f"{body['garments']} garments, {split}",
            ("figure", "#value", "#chance", "#tie ceiling"),
            rows_of(body),
        )
        _print_groups(body["query_groups"])
        console.print(f"all of it: {run / 'results' / 'evaluation.md'}", markup=False)


def _print_groups(groups: dict[str, Any]) -> None:
    rows = [
        (
            name,
            group["queries"],
            *(_interval(group.get(figure)) for figure in ("top1", "recall@5", "recall@10")),
        )
        for name, group in groups.items()
        if isinstance(group, dict)
    ]
    print_table("groups of queries", ("group", "#queries", "#Top-1", "#Recall@5", "#Recall@10"), rows)
    console.print(f"anchors do better than all: {groups['anchors_do_better']}", markup=False)


def _interval(share: dict[str, float] | None) -> str:
    return "" if share is None else f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
