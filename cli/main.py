"""The `atelier` command: noun, then verb."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from cli import (
    artwork,
    catalog,
    encoders,
    fashion,
    index,
    insight,
    items,
    models,
    rank,
    recommend,
    samples,
    security,
    up,
)
from cli.command import command
from cli.demo import command as demo
from cli.doctor import doctor
from cli.errors import show_traces

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold pictures and secrets
)


@app.callback()
def atelier(
    tls_ca: Annotated[
        Path | None,
        Option(help="Authority of the services' certificates, PEM. Default: ATELIER_PEER_CA."),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        Option(help="Certificate to show to services (mutual TLS), PEM. Default: ATELIER_PEER_CERTIFICATE."),
    ] = None,
    tls_key: Annotated[
        Path | None, Option(help="Private key of --tls-certificate, PEM. Default: ATELIER_PEER_KEY.")
    ] = None,
    token_file: Annotated[
        Path | None,
        Option(help="File with the token to show to services. Default: ATELIER_PEER_TOKEN_FILE."),
    ] = None,
    debug: Annotated[bool, Option("--debug", help="Print the trace of an error before its line.")] = False,
) -> None:
    """Train, publish and serve visual judgement: which artwork is better, which garment belongs here."""
    show_traces(debug)
    security.choose(
        peer_ca=tls_ca, peer_certificate=tls_certificate, peer_key=tls_key, peer_token_file=token_file
    )


command(app)(demo.demo)
command(app)(up.up)
command(app)(doctor)
command(app)(up.health)
command(app)(up.gpu)
command(app)(rank.rank)
command(app)(rank.compare)
command(app)(rank.score)
command(app)(recommend.recommend)
command(app)(insight.bestsellers)
command(app)(insight.feedback)
command(app)(insight.trends)
command(app)(samples.samples)
app.add_typer(catalog.app, name="catalog")
app.add_typer(index.app, name="index")
app.add_typer(models.app, name="models")
app.add_typer(artwork.app, name="artwork")
app.add_typer(fashion.app, name="fashion")
app.add_typer(items.app, name="items")
app.add_typer(encoders.app, name="encoders")
app.add_typer(security.certificates, name="certificates")
app.add_typer(security.tokens, name="tokens")

if __name__ == "__main__":
    app()
