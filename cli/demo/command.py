"""`atelier demo`: publish, serve, rank and recommend, from nothing to pictures one can look at."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from cli.default_models import ARTWORK_MODELS, FASHION_MODELS, adopt
from cli.demo.paths import DemoPaths
from cli.demo.questions import Answers, Questions, ask, await_all, choose_questions
from cli.errors import FAILED, USAGE, CommandError, training_extra
from cli.images import find_images
from cli.output import console, print_answer, print_line, print_table
from cli.samples import draw_samples, graded_pictures, read_garments
from cli.supervisor import Supervisor
from cli.up import GATEWAY, specs
from model_store.durable import write_text
from model_store.store import ModelStore
from trainer.synthetic.artworks import write_graded

DEFAULT_LIMIT = 400
GRADED_PHOTOGRAPHS = 3
# Fewer cannot be split into training, validation and test; a query needs another picture to find.
LEAST_TO_TRAIN, LEAST = 12, 2
SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDemo:
    """Models in the store, what to ask about them, and how good their heads are.

    figures: rows of a figure's name, its value, its 95 % interval and the same of a head without training.
    """

    questions: Questions
    heads: str
    figures: Sequence[Mapping[str, Any]]


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
    train: Annotated[
        bool,
        Option(
            "--train",
            help="Train heads of the demo's own instead of using those that come with Atelier; needs the "
            "train extra.",
        ),
    ] = False,
    out: Annotated[Path, Option(help="Folder of models, pictures, logs and summary.json.")] = Path(
        "var/demo"
    ),
    limit: Annotated[
        int, Option(min=8, help="Most photographs of --images to use; the first by name.")
    ] = DEFAULT_LIMIT,
    since: Annotated[
        float | None,
        Option(
            help="Seconds since the epoch at which the installation began, to count the time to the first "
            "answer from. Default: the start of this command."
        ),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Serve the models that come with Atelier, rank and recommend; --out keeps pictures and summary.json."""
    console.quiet = as_json
    since = time.time() if since is None else since
    summary: dict[str, Any] = {"ok": False, "created_at": datetime.now(UTC).isoformat()}
    seconds: dict[str, float] = {}
    try:
        with timed(seconds, "all"), training_extra():
            summary |= _run(images, out, limit, seconds, since=since, train=train)
            summary["ok"] = True
    except BaseException:
        # The reason of the failure is what counts, not that a full disk takes no summary either.
        with suppress(OSError):
            _write_summary(out, summary, seconds)
        raise
    finally:
        console.quiet = False
    _write_summary(out, summary, seconds)
    line = f"\n{out / 'summary.json'}: ok, {seconds['all']:.0f} s"
    print_answer({**summary, "seconds": seconds}, lambda _: print_line(line), as_json=as_json)


def _write_summary(out: Path, summary: Mapping[str, Any], seconds: Mapping[str, float]) -> None:
    text = json.dumps({**summary, "seconds": seconds}, indent=2, ensure_ascii=False) + "\n"
    write_text(out / "summary.json", text, sync=False)


def _run(
    images: Path | None, out: Path, limit: int, seconds: dict[str, float], *, since: float, train: bool
) -> dict[str, Any]:
    photographs = _photographs(images, limit, LEAST_TO_TRAIN if train else LEAST)
    paths = DemoPaths(root=out / "trained" if train else out)
    with timed(seconds, "models"):
        prepared = (_train if train else _adopt)(paths, photographs, images or out)
    _print_models(prepared)
    supervisor = Supervisor(specs(paths.models, paths.root, any_port=True), paths.root / "run")
    with timed(seconds, "start"):
        addresses = supervisor.start()
    try:
        with timed(seconds, "ready"):
            await_all(addresses)
        print_line(f"until the demo ends, its page is at http://{addresses[GATEWAY].grpc}/")
        with timed(seconds, "questions"):
            answers = ask(prepared.questions, addresses, out, lambda: _note_first(seconds, since))
    finally:
        with timed(seconds, "stop"):
            codes = supervisor.stop()
    _print_answers(answers)
    print_line(f"time to the first answer: {seconds['first_answer']:.0f} s")
    if any(codes.values()):
        print_line(f"services stopped with exit codes {codes}")
        raise typer.Exit(FAILED)
    source = {"source": str(images or "generated"), "photographs": len(photographs)}
    heads = {"heads": prepared.heads, "figures": prepared.figures}
    return {"images": source, **heads, **asdict(answers)}


def _photographs(images: Path | None, limit: int, least: int) -> list[Path]:
    """The photographs to use. Raises CommandError: if there are too few."""
    if images is None:
        return []
    photographs = find_images([images])[:limit]
    if len(photographs) < least:
        raise CommandError(
            f"{images} holds {len(photographs)} pictures, at least {least} are needed",
            "add pictures, or leave out --train" if least == LEAST_TO_TRAIN else "add pictures",
            USAGE,
        )
    return photographs


def _adopt(paths: DemoPaths, photographs: Sequence[Path], folder: Path) -> PreparedDemo:
    """The packaged models, and samples or graded photographs to ask about."""
    paths.models.mkdir(parents=True, exist_ok=True)
    versions = adopt((*ARTWORK_MODELS, *FASHION_MODELS), ModelStore.at(paths.models), _say)
    samples = draw_samples(paths.samples)
    graded = samples.graded
    if photographs:
        count = min(GRADED_PHOTOGRAPHS, len(photographs))
        write_graded(paths.graded, photographs[:count], SEED)
        graded = graded_pictures(paths.graded, count)
    figures = [
        {"model": version.name, **row}
        for version in versions
        for row in version.manifest.metrics.get("card", {}).get("figures", ())
    ]
    asked = choose_questions(graded, samples.garments, photographs, folder)
    return PreparedDemo(questions=asked, heads="packaged", figures=figures)


def _train(paths: DemoPaths, photographs: Sequence[Path], folder: Path) -> PreparedDemo:
    """Heads trained here, or at an earlier run on the same pictures."""
    from cli.demo.models import prepare, test_works
    from trainer.loop.progress import bars

    with bars() as progress:
        trained, fresh = prepare(paths, photographs, _say, progress)
    figures: list[dict[str, Any]] = [
        {"model": "artwork-head", "name": "pairwise accuracy, unseen pictures", "chance": 0.5}
        | {"value": trained.test_pairwise_accuracy},
        {"model": "fashion-attributes", "name": "Recall@10, whole unseen gallery"}
        | {"value": trained.val_recall_at_10, "chance": trained.recall_chance},
    ]
    asked = choose_questions(test_works(paths), read_garments(paths.garments), photographs, folder)
    return PreparedDemo(questions=asked, heads="trained now" if fresh else "trained earlier", figures=figures)


def _print_models(prepared: PreparedDemo) -> None:
    console.print(f"heads: {prepared.heads}; the image models come with Atelier, compact and trained")
    rows = [
        (row["model"], row["name"], f"{row['value']:.2f}", _interval(row), _baseline(row))
        for row in prepared.figures
    ]
    print_table("", ("model", "figure", "#value", "#95 %", "#beside"), rows)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['low']:.2f} to {row['high']:.2f}" if "low" in row else ""


def _baseline(row: Mapping[str, Any]) -> str:
    named = {"untrained": "untrained", "chance": "chance", "bound": "goal"}
    return ", ".join(f"{label} {row[key]:.2f}" for key, label in named.items() if key in row)


def _note_first(seconds: dict[str, float], since: float) -> None:
    seconds["first_answer"] = round(time.time() - since, 2)


def _print_answers(answers: Answers) -> None:
    rows = [(name, times["p50"], times["p95"]) for name, times in answers.latency_ms.items()]
    print_table("Latency, one caller, warm", ("call", "#p50 ms", "#p95 ms"), rows)
    for path in answers.pictures:
        print_line(f"saved {path}")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, style="dim")
