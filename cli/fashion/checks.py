"""`atelier fashion sanity`: is this build sound?"""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.fashion.app import CACHE, AsJson, Cache, Change, Config, app, resolve_image
from cli.output import console, print_json, print_table
from model_store.store import ModelStore


@app.command()
def sanity(
    data: Annotated[
        Path | None, typer.Option(help="Prepared garments; some are drawn where none are given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("var/sanity"),
    config: Config = None,
    change: Change = None,
    image: Annotated[
        str | None, typer.Option(help="Published image model, as MODEL@ALIAS; the packaged one by default.")
    ] = None,
    store: Annotated[
        Path, typer.Option(help="Model store with that image model.", envvar="ATELIER_STORE")
    ] = Path("var/models"),
    cache: Cache = CACHE,
    as_json: AsJson = False,
) -> None:
    """Take a small run through everything that a real one goes through; fails when any of it is wrong."""
    with reported(), training_extra():
        import defaults
        from trainer.configuration import parse_settings
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.sanity import RESULTS_FILE, RESULTS_FOLDER, check_sanity
        from trainer.progress import bars
        from trainer.workspace import Workspace

        models = ModelStore.at(defaults.STORE if image is None else store)
        version = resolve_image(models, image or "fashion-image@production")
        settings = read_fashion_config(config, parse_settings(change or ()))
        with bars() as progress:
            space = Workspace(store=models, out=out, cache=cache, progress=progress)
            body = check_sanity(settings, version, space, data)
    if as_json:
        print_json(body)
    else:
        rows = [
            (name, "pass" if outcome["passed"] else "FAIL", outcome["found"])
            for name, outcome in body["checks"].items()
        ]
        print_table(f"{body['garments']} garments, {body['seconds']} s", ("check", "", "found"), rows)
        console.print(f"written: {out / RESULTS_FOLDER / RESULTS_FILE}", markup=False, highlight=False)
        failed = [name for name, outcome in body["checks"].items() if not outcome["passed"]]
        console.print(f"SANITY CHECK {'FAIL: ' + ', '.join(failed) if failed else 'PASS'}", markup=False)
    if not body["passed"]:
        raise typer.Exit(1)
