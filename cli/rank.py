"""`atelier rank`: pictures from best to worst."""

from pathlib import Path
from typing import Annotated

from atelier.ranker.v1 import ranker_pb2
from typer import Argument, Option

from cli.command import Json
from cli.errors import CommandError
from cli.images import find_images
from cli.output import describe_model, print_answer, print_line, print_table
from cli.security import security
from services.client.ranker import RankerClient, picture
from trainer.reports.contact_sheet import Tile, rows_of_tiles, save_sheet

STRIP_LENGTH = 40


def rank(
    images: Annotated[list[Path], Argument(help="Pictures, or folders of pictures.")],
    address: Annotated[
        str, Option(help="Host and port of the ranker.", envvar="ATELIER_RANKER_ADDRESS")
    ] = "127.0.0.1:50052",
    tie_margin: Annotated[
        float | None,
        Option(
            help="Score difference up to which pictures tie. Default: the calibrated margin of the "
            "head in production."
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        Option(
            min=0.5,
            max=1.0,
            help="Least probability of an order; a lower one is marked with a question mark.",
        ),
    ] = None,
    save: Annotated[Path | None, Option(help="PNG file to draw the ranking into.")] = None,
    deadline: Annotated[float, Option(help="Seconds to wait for the answer.")] = 300.0,
    as_json: Json = False,
) -> None:
    """Order pictures from best to worst; unreadable pictures are listed and the exit code is 1."""
    pictures = {str(path): path.read_bytes() for path in find_images(images)}
    candidates = [picture(data, name) for name, data in pictures.items()]
    options = ranker_pb2.RankOptions(tie_margin=tie_margin, min_probability=min_probability)
    with RankerClient(address, security=security()) as ranker:
        ranking = ranker.rank(candidates, options, deadline_s=deadline)
    if save:
        save_ranking(save, pictures, ranking)
    print_answer(ranking, print_ranking, as_json=as_json)
    if ranking.errors:
        raise CommandError(f"{len(ranking.errors)} of {len(pictures)} pictures could not be ranked")


def print_ranking(ranking: ranker_pb2.RankResponse) -> None:
    """Print the ranking as a table, then the pictures without a place, then the models that judged."""
    rows = [
        (
            placement.place,
            placement.id,
            f"{placement.score:.4f}",
            f"{placement.uncertainty:.4f}" if placement.HasField("uncertainty") else "",
            _over_next(placement),
        )
        for placement in ranking.placements
    ]
    print_table("", ("#place", "picture", "#score", "#±", "#P(over next)"), rows)
    for error in ranking.errors:
        print_line(f"not ranked: {error.id}: {error.status.message}")
    print_line("judged by " + ", ".join(map(describe_model, ranking.models)))


def _over_next(placement: ranker_pb2.Placement) -> str:
    """The probability, with a question mark where the order is not claimed."""
    if not placement.HasField("probability_over_next"):
        return ""
    return f"{placement.probability_over_next:.2f}" + ("?" if placement.abstained_over_next else "")


def save_ranking(path: Path, pictures: dict[str, bytes], ranking: ranker_pb2.RankResponse) -> Path:
    """Save the best pictures, at most `STRIP_LENGTH`, in their order, eight a row."""
    tiles = [
        Tile(
            picture=pictures[placement.id],
            caption=f"{placement.place}. {Path(placement.id).name}",
            detail=f"score {placement.score:.3f}",
        )
        for placement in ranking.placements[:STRIP_LENGTH]
    ]
    if not tiles:
        raise CommandError("no picture could be ranked, so there is nothing to save")
    return save_sheet(path, rows_of_tiles(tiles), title="best first")
