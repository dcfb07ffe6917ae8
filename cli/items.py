"""`atelier items …`: vectors of a table of items, and tables to try them on (I-1 … I-8)."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from cli.command import DEFAULT_STORE, Change, Json, Store, training_command
from cli.output import print_answer, print_line, print_notice, print_table

app = typer.Typer(no_args_is_help=True, help="Make vectors of a table of items.")


@training_command(app)
def train(
    config: Annotated[
        Path | None, Option(help="File of settings, YAML. Default: config/trainer.yml.")
    ] = None,
    out: Annotated[Path, Option(help="Folder to write models/ and logs/ into.")] = Path(),
    incremental: Annotated[
        bool, Option("--incremental", help="Add new items to the results in --out.")
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the results in --out by those of a new run.")
    ] = False,
    tb_projector: Annotated[
        bool | None, Option(help="Write models/tb_projector. Default: as in --config.")
    ] = None,
    change: Change = None,
    store: Store = DEFAULT_STORE,
    alias: Annotated[
        str | None, Option(help="Alias to set. Default: production for a model without one, else candidate.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make vectors of a table of items, index them and publish them as `items`."""
    from model_store.names import check_name
    from model_store.store import ModelStore
    from trainer.configuration import parse_settings
    from trainer.items.config import read_items_config
    from trainer.items.train import train_items
    from trainer.loop.progress import bars
    from trainer.workspace import Workspace

    if alias is not None:
        check_name(alias, "alias")
    projector = {} if tb_projector is None else {"projector.enabled": tb_projector}
    settings = read_items_config(config, parse_settings(change or ()) | projector)
    with bars() as progress:
        space = Workspace(store=ModelStore.at(store), out=out, cache=out, progress=progress)
        report = train_items(
            settings, space, incremental=incremental, overwrite=overwrite, alias=alias, notify=print_notice
        )
    print_answer(report.body, _print_report, as_json=as_json)
    if not as_json:
        print_line(f"wrote {report.folder}: report.md shows what was cleaned and who is near whom")


@training_command(app)
def synthesise(
    out: Annotated[Path, Option(help="Folder to write the table, its metadata and its truth into.")],
    count: Annotated[int, Option(min=100, help="Number of items.")] = 1_000,
    seed: Annotated[int, Option(min=0, help="Random seed of the items.")] = 42,
    snapshot: Annotated[
        int,
        Option(
            min=1, help="Snapshot of the table: from 2 on the same table, with items gone, changed and new."
        ),
    ] = 1,
) -> None:
    """Write a table of items whose routings are known: 60 columns, with gaps and outliers."""
    from trainer.synthetic.item_tables import write_item_table

    print_line(f"wrote {write_item_table(out, count, seed, snapshot=snapshot)}")


def _print_report(body: dict[str, Any]) -> None:
    vectors, index = body["vectors"], body["index"]
    rows: list[tuple[object, ...]] = [
        ("items", body["data"]["items"]),
        ("dimensions", vectors["dimension"]),
        ("transformed now", vectors["new"]),
        ("removed", vectors["removed"]),
        ("variance kept", f"{body['explained_variance']['all']:.3f}"),
        ("recall of the index", f"{index['recall']['recall']:.4f}"),
        ("seconds", body["seconds"]["all"]),
        ("peak memory, MiB", body["peak_mib"]),
    ]
    rows += [("drifted", name) for name in (body["drift"] or {}).get("drifted", ())]
    print_table(body["model_version"], ("figure", "#value"), rows)
