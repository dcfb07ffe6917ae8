"""An evaluation for people: `evaluation.md`, and its headline for a terminal (F-12 to F-18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.fashion.evaluation import charts
from trainer.fashion.evaluation.encoded import TO_IMAGE, TO_RECORD
from trainer.reports.markdown import decimals, interval, join_blocks, table

# What the figures are to reach on real data (F-18): name, k, group of queries, bound.
TARGETS = (
    ("Top-5", "5", "all", 0.70),
    ("Recall@10, all", "10", "all", 0.75),
    ("Recall@10, anchors", "10", "anchor", 0.85),
)

_FIGURES = ("top1", "recall@5", "recall@10")


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report as Markdown: full gallery first, chance and tie ceiling beside every recall."""
    return join_blocks(
        f"# Records and pictures of {body['garments']} garments ({body['split']})",
        None
        if body["trained_on"]
        else "> Not the garments that the run was trained on; some may have been, in another part.",
        *_recall("Whole gallery", body["gallery"]),
        *_recall(f"Within batches of {body['in_batch'][TO_IMAGE]['batch_size']}", body["in_batch"]),
        *_agreement(body["agreement"]),
        *_probes(body.get("probes")),
        *_groups(body["query_groups"]),
        *_breakdown("style", body["by_style"]),
        *_breakdown("category", body["by_category"]),
        *_centrality(body["centrality"]),
        *_vectors(body["vectors"]),
        *_targets(body),
        "\n".join(
            f"![{name}]({name})"
            for name in (charts.RECALL, charts.STYLES, charts.GROUPS, charts.SIMILARITIES, charts.MAP)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFigures:
    """A figure of F-18 in the whole gallery and within a batch: value, chance and ceiling of each."""

    name: str
    bound: float
    gallery: Mapping[str, float | None]
    in_batch: Mapping[str, float | None]


def targets_of(body: Mapping[str, Any]) -> tuple[TargetFigures, ...]:
    """Each target with the figures that are to reach it."""
    chance, batch, targets = body["gallery"][TO_IMAGE]["chance"], body["in_batch"], []
    for name, k, group, bound in TARGETS:
        share = body["query_groups"][group].get(f"recall@{k}", {})
        among = batch["anchor"] if group == "anchor" else batch[TO_IMAGE]
        gallery = {"value": share.get("value"), "chance": chance[k], "ceiling": share.get("tie_ceiling")}
        in_batch = {
            "value": among.get("recall", {}).get(k),
            "chance": among["chance"].get(k),
            "ceiling": among["tie_ceiling"].get(k),
        }
        targets.append(TargetFigures(name=name, bound=bound, gallery=gallery, in_batch=in_batch))
    return tuple(targets)


def _recall(title: str, ways: Mapping[str, Any]) -> Sequence[str]:
    there, back = ways[TO_IMAGE], ways[TO_RECORD]
    rows = [
        (k, *_numbers(value, back["recall"][k], there["chance"][k], there["tie_ceiling"][k]))
        for k, value in there["recall"].items()
    ]
    rows.append(("MRR", *_numbers(there["mrr"], back["mrr"]), "", ""))
    header = ("k", "record to picture", "picture to record", "chance", "tie ceiling")
    return f"## {title}", table(header, rows)


def _agreement(ways: Mapping[str, Any]) -> Sequence[str]:
    there, back = ways[TO_IMAGE], ways[TO_RECORD]
    columns = ("k", "record to picture", "picture to record", "any garment", "best possible", "nDCG")
    rows = [
        (k, *_numbers(value, back["precision"][k], there["chance"], there["ceiling"][k], there["ndcg"][k]))
        for k, value in there["precision"].items()
    ]
    return (
        "## Attributes of what is found",
        f"Agreement with the query's attributes (1: all of them), {there['queries']} queries.",
        table(columns, rows),
    )


def _probes(probes: Mapping[str, Any] | None) -> Sequence[str]:
    if probes is None:
        return ()
    recall, agreement, *share = _numbers(
        probes["recall"]["10"], probes["agreement"]["precision"].get("10"), *probes["share"].values()
    )
    reached = (
        f"Retrieval by {probes['words']} probes: Recall@10 {recall}, agreement@10 {agreement}; "
        f"the encoder reaches {share[0]} and {share[1]} times as much."
    )
    rows = [
        (name, *_numbers(field["accuracy"], field["commonest_word"]), field["garments"])
        for name, field in probes["by_field"].items()
    ]
    return (
        "## Beside linear probes on the same image vectors",
        reached,
        table(("field", "probe right", "commonest word", "garments"), rows),
    )


def rows_of_groups(groups: Mapping[str, Any]) -> Sequence[tuple[object, ...]]:
    """Each group of queries: its name, how many they are, and the figures with their intervals."""
    return [
        (name, body["queries"], *(interval(body.get(figure)) for figure in _FIGURES))
        for name, body in groups.items()
        if "queries" in body
    ]


def _groups(groups: Mapping[str, Any]) -> Sequence[str]:
    verdicts = [
        f"- {figure}: {test['verdict']}, difference {decimals(test['difference'])}, p {decimals(test['p'])}"
        for figure, test in groups["anchors_against_others"].items()
    ]
    return (
        "## Groups of queries",
        table(("group", "queries", "Top-1", "Recall@5", "Recall@10"), rows_of_groups(groups)),
        "Anchors against all others (permutation test):",
        "\n".join(verdicts),
    )


def _breakdown(what: str, words: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        (word, body["queries"], *_numbers(*(body["recall"][k] for k in ("1", "5", "10")), body["mrr"]))
        for word, body in words.items()
    ]
    return f"## By {what}", table((what, "queries", "Top-1", "Top-5", "Recall@10", "MRR"), rows)


def _centrality(body: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        (style, part["count"], decimals(part["mean"]), part["anchors"])
        for style, part in body["by_style"].items()
    ]
    spread = (
        f"Mean {body['mean']:.3f} ± {body['std']:.3f}, from {body['min']:.3f} to {body['max']:.3f}; "
        f"{body['anchors']} anchors from {body['threshold']:.3f}, their mean {body['anchor_mean']:.3f}."
    )
    return "## Centrality", spread, table(("style", "garments", "mean", "anchors"), rows)


def _vectors(parts: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        (
            name,
            body["dimension"],
            f"{body['norm']['min']:.6f} to {body['norm']['max']:.6f}",
            f"{body['variance']['mean']:.2e}",
            body["variance"]["dead"],
        )
        for name, body in parts.items()
    ]
    columns = ("of", "dimensions", "length", "variance per dimension", "dead dimensions")
    return "## Vectors", table(columns, rows)


def _targets(body: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        (target.name, f"{target.bound:.2f}", *_numbers(*target.gallery.values(), *target.in_batch.values()))
        for target in targets_of(body)
    ]
    columns = ("figure", "target", "whole gallery", "chance", "ceiling", "in batch", "chance", "ceiling")
    return (
        "## Targets on real data",
        table(columns, rows),
        "These are bounds for the whole gallery of real photographs; in a batch they say little.",
    )


def _numbers(*values: float | None) -> list[str]:
    return [decimals(value) for value in values]


def rows_of(body: Mapping[str, Any]) -> Sequence[tuple[str, ...]]:
    """The headline for a terminal: figure, value, chance, ceiling."""
    rows: list[tuple[str, ...]] = []
    for name, title in (("gallery", "whole gallery"), ("in_batch", "in batch")):
        there = body[name][TO_IMAGE]
        rows += [
            (f"Recall@{k}, {title}", *_numbers(value, there["chance"][k], there["tie_ceiling"][k]))
            for k, value in there["recall"].items()
        ]
        rows.append((f"MRR, {title}", decimals(there["mrr"]), "", ""))
    agreement = body["agreement"][TO_IMAGE]
    rows += [
        (f"agreement@{k}", *_numbers(value, agreement["chance"], agreement["ceiling"][k]))
        for k, value in agreement["precision"].items()
    ]
    return rows
