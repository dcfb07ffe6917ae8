"""`atelier demo`: publish, train, serve, rank and recommend, from nothing to pictures one can look at."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from cli.demo.questions import Answers, ask, await_all
from cli.errors import FAILED
from cli.images import find_images
from cli.output import console, print_answer, print_line, print_table
from cli.supervisor import Supervisor
from cli.up import specs
from model_store.durable import write_text

if TYPE_CHECKING:
    from cli.demo.models import HeadFigures

DEFAULT_LIMIT = 400


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Note how long the body takes as a part of the demo, also where it ends with an error."""
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[part] = round(time.monotonic() - started, 2)


def demo(
    images: Annotated[Path | None, Option(help="Folder of photographs. Default: drawn pictures.")] = None,
    out: Annotated[Path, Option(help="Folder of models, pictures, logs and summary.json.")] = Path(
        "var/demo"
    ),
    limit: Annotated[
        int, Option(min=8, help="Most photographs of --images to use; the first by name.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[bool, Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Train small models, serve them, rank and recommend; pictures and summary.json are kept in --out."""
    console.quiet = as_json
    summary: dict[str, Any] = {"ok": False, "created_at": datetime.now(UTC).isoformat()}
    seconds: dict[str, float] = {}
    try:
        with timed(seconds, "all"):
            summary |= _run(images, out, limit, seconds)
            summary["ok"] = True
    finally:
        console.quiet = False
        summary["seconds"] = seconds
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        write_text(out / "summary.json", text, sync=False)
    line = f"\n{out / 'summary.json'}: ok, {seconds['all']:.0f} s"
    print_answer(summary, lambda _: print_line(line), as_json=as_json)


def _run(images: Path | None, out: Path, limit: int, seconds: dict[str, float]) -> dict[str, Any]:
    from cli.demo.models import DemoPaths, prepare, questions
    from trainer.loop.progress import bars

    photographs = find_images([images])[:limit] if images else []
    paths = DemoPaths(root=out)
    with bars() as progress:
        with timed(seconds, "models"):
            figures, fresh = prepare(paths, photographs, _say, progress)
        _print_models(figures, fresh=fresh, drawn=not photographs)
        supervisor = Supervisor(specs(paths.models, out, any_port=True), out / "run")
        with timed(seconds, "start"):
            addresses = supervisor.start()
        try:
            with timed(seconds, "ready"):
                await_all(addresses)
            with timed(seconds, "questions"):
                asked = questions(paths, photographs, images or out)
                answers = ask(asked, addresses, out, progress)
        finally:
            with timed(seconds, "stop"):
                codes = supervisor.stop()
    _print_answers(answers)
    if any(codes.values()):
        print_line(f"services stopped with exit codes {codes}")
        raise typer.Exit(FAILED)
    source = {"source": str(images or "generated"), "photographs": len(photographs)}
    training = {
        "test_pairwise_accuracy": figures.test_pairwise_accuracy,
        "val_recall_at_10": figures.val_recall_at_10,
        "val_recall_at_10_chance": figures.recall_chance,
    }
    return {"images": source, "training": training, **asdict(answers)}


def _print_models(figures: "HeadFigures", *, fresh: bool, drawn: bool) -> None:
    console.print("models trained just now" if fresh else "models of an earlier demo")
    console.print(
        "the image models come with Atelier, compact and trained; the heads are trained on "
        + ("drawn pictures" if drawn else "your photographs, graded, and drawn garments")
    )
    accuracy, recall = f"{figures.test_pairwise_accuracy:.2f}", f"{figures.val_recall_at_10:.2f}"
    rows = [
        ("pairwise accuracy, artwork head, unseen pictures", accuracy, "0.50"),
        ("Recall@10, attribute encoder, whole unseen gallery", recall, f"{figures.recall_chance:.2f}"),
    ]
    print_table("", ("figure", "#value", "#chance"), rows)


def _print_answers(answers: Answers) -> None:
    rows = [(name, times["p50"], times["p95"]) for name, times in answers.latency_ms.items()]
    print_table("Latency, one caller, warm", ("call", "#p50 ms", "#p95 ms"), rows)
    for path in answers.pictures:
        print_line(f"saved {path}")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, style="dim")
