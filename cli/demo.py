"""`atelier demo`: publish, train, serve, rank and recommend, from nothing to pictures one can look at."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.demo_questions import Answers, ask, await_all
from cli.errors import FAILED, reported
from cli.extras import training_extra
from cli.images import find_images
from cli.output import console, print_json, print_table
from cli.supervisor import Address, Supervisor
from cli.up import specs

if TYPE_CHECKING:
    from cli.demo_models import Trained

DEFAULT_LIMIT = 400


class Stopwatch:
    """Seconds of each part of the demo."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Time the body as `part`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = round(time.monotonic() - started, 2)


def demo(
    images: Annotated[Path | None, typer.Option(help="Your photographs; drawn pictures otherwise.")] = None,
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("var/demo"),
    limit: Annotated[int, typer.Option(min=8, help="Photographs to use at most, by name.")] = DEFAULT_LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make small models, serve them, rank and recommend; results and summary.json are left in the folder."""
    console.quiet = as_json
    summary: dict[str, Any] = {"ok": False, "created_at": datetime.now(UTC).isoformat()}
    watch = Stopwatch()
    try:
        with reported(), training_extra(), watch.measure("all"):
            summary |= _run(images, out, limit, watch)
            summary["ok"] = True
    finally:
        console.quiet = False
        summary["seconds"] = watch.seconds
        _write(out / "summary.json", summary)
    if as_json:
        print_json(summary)
    else:
        console.print(f"\n{out / 'summary.json'}: ok, {watch.seconds['all']:.0f} s", highlight=False)


def _run(images: Path | None, out: Path, limit: int, watch: Stopwatch) -> dict[str, Any]:
    from cli.demo_models import Workshop, prepare, questions
    from trainer.progress import bars

    photographs = find_images([images])[:limit] if images else []
    shop = Workshop(root=out)
    with bars() as progress:
        with watch.measure("models"):
            trained, fresh = prepare(shop, photographs, _say, progress)
        _tell_models(trained, fresh=fresh, generated=not photographs)
        supervisor = Supervisor(specs(shop.models, out, any_port=True), out / "run")
        with watch.measure("start"):
            addresses = supervisor.start()
        try:
            with watch.measure("ready"):
                await_all(addresses)
            with watch.measure("questions"):
                asked = questions(shop, photographs, images or out)
                answers = ask(asked, addresses, out, progress)
        finally:
            with watch.measure("stop"):
                codes = supervisor.stop()
    _tell_answers(answers)
    if any(codes.values()):
        console.print(f"services stopped with {codes}", highlight=False)
        raise typer.Exit(FAILED)
    source = str(images) if images else "generated"
    return _summary(source, len(photographs), len(asked.graded), trained, answers, addresses)


def _summary(
    source: str,
    photographs: int,
    graded: int,
    trained: "Trained",
    answers: Answers,
    addresses: Mapping[str, Address],
) -> dict[str, Any]:
    return {
        "images": {"source": source, "photographs": photographs},
        "models": list(answers.models),
        "counts": {"ranked": graded, "catalogue_items": answers.catalogue_items, "services": len(addresses)},
        "training": {
            "test_pairwise_accuracy": trained.test_pairwise_accuracy,
            "val_recall_at_10": trained.val_recall_at_10,
            "val_recall_at_10_chance": trained.recall_chance,
        },
        "latency_ms": {name: dict(times) for name, times in answers.latency_ms.items()},
        "rank": list(answers.rank),
        "recommend": {name: list(ids) for name, ids in answers.recommend.items()},
        "pictures": [str(path) for path in answers.pictures],
    }


def _tell_models(trained: "Trained", *, fresh: bool, generated: bool) -> None:
    console.print("models made just now" if fresh else "models as an earlier demo made them")
    console.print(
        "the image models come with Atelier, compact and trained; the heads are trained on "
        + ("drawn pictures" if generated else "your photographs, graded, and drawn garments")
    )
    rows = [
        (
            "pairwise accuracy, artwork head, unseen pictures",
            f"{trained.test_pairwise_accuracy:.2f}",
            "0.50",
        ),
        (
            "Recall@10, attribute encoder, whole unseen gallery",
            f"{trained.val_recall_at_10:.2f}",
            f"{trained.recall_chance:.2f}",
        ),
    ]
    print_table("", ("figure", "#value", "#chance"), rows)


def _tell_answers(answers: Answers) -> None:
    rows = [(name, times["p50"], times["p95"]) for name, times in answers.latency_ms.items()]
    print_table("Latency, one caller, warm", ("call", "#p50 ms", "#p95 ms"), rows)
    for path in answers.pictures:
        console.print(f"saved {path}", markup=False, highlight=False)


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, style="dim")


def _write(path: Path, summary: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}")
    staged.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    staged.replace(path)
