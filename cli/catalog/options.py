"""What the commands of `atelier catalog` share: the noun."""

import typer

app = typer.Typer(
    no_args_is_help=True, help="Import, export, back up, list and delete the items of a catalog."
)
