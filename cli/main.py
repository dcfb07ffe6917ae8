"""The `atelier` command: noun, then verb."""

from pathlib import Path
from typing import Annotated

import typer

from cli import (
    artwork,
    catalog,
    certificates,
    demo,
    encoders,
    fashion,
    health,
    models,
    rank,
    recommend,
    tokens,
    up,
)
from cli.security import choose

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold pictures and secrets
)


@app.callback()
def atelier(
    tls_ca: Annotated[Path | None, typer.Option(help="Authority of the services' certificates.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate to show to services.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token to show.")] = None,
) -> None:
    """Train, publish and serve visual judgement: which artwork is better, which garment belongs here."""
    choose(peer_ca=tls_ca, peer_certificate=tls_certificate, peer_key=tls_key, peer_token_file=token_file)


app.command()(demo.demo)
app.command()(up.up)
app.command()(health.health)
app.command()(rank.rank)
app.command()(recommend.recommend)
app.add_typer(catalog.app, name="catalog")
app.add_typer(models.app, name="models")
app.add_typer(artwork.app, name="artwork")
app.add_typer(fashion.app, name="fashion")
app.add_typer(encoders.app, name="encoders")
app.add_typer(certificates.app, name="certificates")
app.add_typer(tokens.app, name="tokens")

if __name__ == "__main__":
    app()
