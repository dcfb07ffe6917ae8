"""`atelier rank | compare | score`: which picture is better."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from atelier.ranker.v1 import ranker_pb2
from typer import Argument, Option

from cli.command import Json
from cli.errors import USAGE, CommandError
from cli.images import find_images
from cli.output import describe_model, print_answer, print_line, print_table
from cli.security import security
from services.client.ranker import RankerClient, picture
from trainer.reports.contact_sheet import Tile, rows_of_tiles, save_sheet

STRIP_LENGTH = 40

Address = Annotated[str, Option(help="Host and port of the ranker.", envvar="ATELIER_RANKER_ADDRESS")]
DEFAULT_ADDRESS: Final = "127.0.0.1:50052"
LeastProbability = Annotated[
    float | None,
    Option(
        min=0.5,
        max=1.0,
        help="Least probability of an order; a lower one is marked with a question mark.",
    ),
]
Deadline = Annotated[float, Option(help="Seconds to wait for the answer.")]


def rank(
    images: Annotated[list[Path], Argument(help="Pictures, or folders of pictures.")],
    address: Address = DEFAULT_ADDRESS,
    tie_margin: Annotated[
        float | None,
        Option(
            help="Score difference up to which pictures tie. Default: the calibrated margin of the "
            "head in production."
        ),
    ] = None,
    min_probability: LeastProbability = None,
    save: Annotated[Path | None, Option(help="PNG file to draw the ranking into.")] = None,
    deadline: Deadline = 300.0,
    as_json: Json = False,
) -> None:
    """Order pictures from best to worst; unreadable pictures are listed and the exit code is 1.

    Scores are comparable within one version of the head. ± is the standard deviation of a score as the head
    sees it: wide for a picture unlike those it was trained on. P(over next) is the calibrated probability
    that a picture is better than the next one.
    """
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


def compare(
    first: Annotated[Path, Argument(help="Picture to compare.")],
    second: Annotated[Path, Argument(help="Picture to compare the first with.")],
    address: Address = DEFAULT_ADDRESS,
    min_probability: LeastProbability = None,
    deadline: Deadline = 60.0,
    as_json: Json = False,
) -> None:
    """Say which of two pictures is better, and with what probability."""
    candidates = [picture(path.read_bytes(), str(path)) for path in find_images([first, second])]
    if len(candidates) != 2:
        raise CommandError("two pictures are needed", "`atelier rank` takes folders", USAGE)
    with RankerClient(address, security=security()) as ranker:
        answer = ranker.compare(*candidates, min_probability=min_probability, deadline_s=deadline)
    print_answer(answer, partial(print_comparison, first, second), as_json=as_json)


def score(
    images: Annotated[list[Path], Argument(help="Pictures, or folders of pictures.")],
    address: Address = DEFAULT_ADDRESS,
    deadline: Deadline = 300.0,
    as_json: Json = False,
) -> None:
    """Score pictures, in the order given; unreadable pictures are listed and the exit code is 1.

    Scores are comparable within one version of the head. ± is the standard deviation of a score.
    """
    candidates = [picture(path.read_bytes(), str(path)) for path in find_images(images)]
    with RankerClient(address, security=security()) as ranker:
        answer = ranker.score(candidates, deadline_s=deadline)
    print_answer(answer, print_scores, as_json=as_json)
    if answer.errors:
        raise CommandError(f"{len(answer.errors)} of {len(candidates)} pictures could not be scored")


def print_comparison(first: Path, second: Path, answer: ranker_pb2.CompareResponse) -> None:
    """Print both scores, the verdict and the models that judged."""
    better = max(answer.probability_a_better, 1 - answer.probability_a_better)
    verdicts = {
        ranker_pb2.VERDICT_A_BETTER: f"{first} is better, with probability {better:.2f}",
        ranker_pb2.VERDICT_B_BETTER: f"{second} is better, with probability {better:.2f}",
        ranker_pb2.VERDICT_TIED: "tied: the scores differ by at most the tie margin",
        ranker_pb2.VERDICT_ABSTAINED: f"undecided: either is better with probability {better:.2f} at most",
    }
    rows = [
        (str(first), f"{answer.score_a:.4f}", _deviation(answer, "uncertainty_a")),
        (str(second), f"{answer.score_b:.4f}", _deviation(answer, "uncertainty_b")),
    ]
    print_table("", ("picture", "#score", "#±"), rows)
    print_line(verdicts.get(answer.verdict, "no verdict"))
    print_line("judged by " + ", ".join(map(describe_model, answer.models)))


def print_scores(answer: ranker_pb2.ScoreResponse) -> None:
    """Print the scores as a table, then the pictures without one, then the models that judged."""
    rows = [(each.id, f"{each.score:.4f}", _deviation(each, "uncertainty")) for each in answer.scores]
    print_table("", ("picture", "#score", "#±"), rows)
    for error in answer.errors:
        print_line(f"not scored: {error.id}: {error.status.message}")
    print_line("judged by " + ", ".join(map(describe_model, answer.models)))


def _deviation(message: Any, name: str) -> str:
    """The standard deviation of a score; empty for a head that states none."""
    return f"{getattr(message, name):.4f}" if message.HasField(name) else ""


def print_ranking(ranking: ranker_pb2.RankResponse) -> None:
    """Print the ranking as a table, then the pictures without a place, then the models that judged."""
    rows = [
        (
            placement.place,
            placement.id,
            f"{placement.score:.4f}",
            _deviation(placement, "uncertainty"),
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
