"""`python -m trainer.items --config config/trainer.yml`: the run of `atelier items train` (I-8)."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from inference.errors import InferenceError
from model_store.errors import StoreError
from model_store.names import check_name
from model_store.store import ModelStore
from trainer.configuration import parse_settings
from trainer.errors import TrainerError
from trainer.items.config import read_items_config
from trainer.items.results.run_log import FORMAT
from trainer.items.train import train_items
from trainer.loop.progress import bars
from trainer.workspace import Workspace

FAILED = 1


def main(
    config: Annotated[
        Path | None, typer.Option(help="File of settings, YAML. Default: config/trainer.yml.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write models/ and logs/ into.")] = Path(),
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Add new items to the results in --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in --out by those of a new run.")
    ] = False,
    tb_projector: Annotated[
        bool | None, typer.Option(help="Write models/tb_projector. Default: as in --config.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Setting to override, as in seed=7. May be repeated.")
    ] = None,
    store: Annotated[Path, typer.Option(help="Directory of the model store.", envvar="ATELIER_STORE")] = Path(
        "var/models"
    ),
    alias: Annotated[
        str | None,
        typer.Option(help="Alias to set. Default: production for a model without one, else candidate."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print training_metadata.json.")] = False,
) -> None:
    """Make vectors of a table of items, index them and publish them as `items`."""
    try:
        if alias is not None:
            check_name(alias, "alias")
        overrides = parse_settings(change or ())
        if tb_projector is not None:
            overrides["projector.enabled"] = tb_projector
        settings = read_items_config(config, overrides)
        with bars() as progress:
            space = Workspace(store=ModelStore.at(store), out=out, cache=out, progress=progress)
            report = train_items(
                settings, space, incremental=incremental, overwrite=overwrite, alias=alias, notify=_notify
            )
    except (TrainerError, StoreError, InferenceError, OSError) as error:
        _notify(f"error: {error}")
        raise typer.Exit(FAILED) from error
    if as_json:
        sys.stdout.write(json.dumps(report.body, indent=2, ensure_ascii=False) + "\n")


def _notify(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format=FORMAT)
    typer.run(main)
