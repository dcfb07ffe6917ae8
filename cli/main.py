"""The `atelier` command: noun, then verb."""

import typer

from cli import artwork, catalog, demo, fashion, health, models, rank, recommend, up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold pictures and secrets
    help="Train, publish and serve visual judgement: which artwork is better, which garment belongs here.",
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(health.health)
app.command()(rank.rank)
app.command()(recommend.recommend)
app.add_typer(catalog.app, name="catalog")
app.add_typer(models.app, name="models")
app.add_typer(artwork.app, name="artwork")
app.add_typer(fashion.app, name="fashion")

if __name__ == "__main__":
    app()
