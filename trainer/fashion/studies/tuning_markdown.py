"""What tuning found, for people: `tuning_results.md` (F-21)."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.fashion.studies.tuning_charts import CHART_FILE
from trainer.fashion.studies.tuning_spaces import named

_FIGURES = ("value", "MRR", "stability", "converged", "best epoch", "seconds")


def markdown_of(body: Mapping[str, Any]) -> str:
    """The results as Markdown: the best, how sure that is, each phase with its trials, the chart."""
    return "\n".join(
        (
            "# Tuning of the attribute encoder",
            "",
            *_best(body),
            *(line for phase in body["phases"] for line in _phase(phase)),
            f"![value by trial, and what decides it]({CHART_FILE})",
            "",
        )
    )


def advice_of(body: Mapping[str, Any]) -> str:
    """One line on how much the best trial says."""
    noise = body["noise"]
    if noise is None:
        return "no trial is complete"
    others = noise["trials_within"] - 1
    if others <= 0:
        return f"no other trial comes within {noise['width']:.3f} of it, which chance alone may make"
    return (
        f"{others} of {noise['complete_trials'] - 1} other trials are within {noise['width']:.3f} of it, "
        f"which {body['split']['val']} garments cannot tell apart"
    )


def _best(body: Mapping[str, Any]) -> Iterator[str]:
    best = body["best"]
    if best is None:
        yield "No trial is complete."
        yield ""
        return
    yield f"Best {body['objective']} **{best['value']:.4f}** on {body['split']['val']} garments: "
    yield f"phase {best['phase']}, trial {best['number']}; {advice_of(body)}."
    yield ""
    yield "> It is the best of many on the very garments that it was chosen by, and so told too high; "
    yield "> what it is worth is what `best.yml` reaches on others."
    yield ""
    yield "| setting | value |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in named(best["settings"]).items())
    yield ""


def _phase(phase: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Phase {phase['phase']}"
    yield ""
    yield (
        f"{phase['finished']} of {phase['planned']} trials finished: {phase['complete']} complete, "
        f"{phase['pruned']} given up; {phase['failed']} broken off and done anew."
    )
    yield ""
    if not phase["trials"]:
        return
    names = list(named(phase["space"]))
    columns = ["trial", *names, *_FIGURES, "state"]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    yield from (_row(trial, names) for trial in phase["trials"])
    yield ""


def _row(trial: Mapping[str, Any], names: list[str]) -> str:
    tried = [str(trial["parameters"].get(name, "")) for name in names]
    if trial["value"] is None:
        cells = [""] * len(_FIGURES)
    else:
        cells = [
            f"{trial['value']:.4f}",
            f"{trial['mrr']:.4f}",
            f"{trial['stability']:.4f}",
            str(trial["convergence_epoch"]),
            str(trial["best_epoch"]),
            f"{trial['seconds']:.1f}",
        ]
    return f"| {' | '.join((str(trial['number']), *tried, *cells, trial['state']))} |"
