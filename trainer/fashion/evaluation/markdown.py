"""An evaluation for people: `evaluation.md` (F-12 to F-18)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.fashion.evaluation import charts
from trainer.fashion.evaluation.encoded import TO_IMAGE, TO_RECORD

# What the figures are to reach on real data (F-18).
TARGETS = {"Top-5": 0.70, "Recall@10, all": 0.75, "Recall@10, anchors": 0.85}


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report as Markdown: full gallery first, chance and tie ceiling beside every recall."""
    return "\n".join(
        (
            *_head(body),
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
            *(
                f"![{name}]({name})"
                for name in (charts.RECALL, charts.STYLES, charts.GROUPS, charts.SIMILARITIES)
            ),
            f"![{charts.MAP}]({charts.MAP})",
            "",
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure of F-18 in the whole gallery and within a batch, beside what chance gives and ties allow."""

    name: str
    bound: float
    gallery: Mapping[str, float | None]
    in_batch: Mapping[str, float | None]


def targets_of(body: Mapping[str, Any]) -> tuple[Target, ...]:
    """Each target with the figures that are to reach it."""
    gallery, batch = body["gallery"][TO_IMAGE], body["in_batch"]
    found = []
    for name, k, group in (
        ("Top-5", "5", "all"),
        ("Recall@10, all", "10", "all"),
        ("Recall@10, anchors", "10", "anchor"),
    ):
        share = body["query_groups"][group].get("top1" if k == "1" else f"recall@{k}", {})
        among = batch["anchor"] if group == "anchor" else batch[TO_IMAGE]
        found.append(
            Target(
                name=name,
                bound=TARGETS[name],
                gallery={
                    "value": share.get("value"),
                    "chance": gallery["chance"][k],
                    "ceiling": share.get("tie_ceiling"),
                },
                in_batch={
                    "value": among.get("recall", {}).get(k),
                    "chance": among["chance"].get(k),
                    "ceiling": among["tie_ceiling"].get(k),
                },
            )
        )
    return tuple(found)


def _head(body: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Records and pictures of {body['garments']} garments ({body['split']})"
    yield ""
    if not body["trained_on"]:
        yield "> Not the garments that the run was trained on; some may have been, in another part."
        yield ""


def _recall(title: str, ways: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| k | record to picture | picture to record | chance | tie ceiling |"
    yield "|---|---|---|---|---|"
    there, back = ways[TO_IMAGE], ways[TO_RECORD]
    for k, value in there["recall"].items():
        yield (
            f"| {k} | {value:.3f} | {back['recall'][k]:.3f} | {there['chance'][k]:.3f} "
            f"| {there['tie_ceiling'][k]:.3f} |"
        )
    yield f"| MRR | {there['mrr']:.3f} | {back['mrr']:.3f} | | |"
    yield ""


def _agreement(ways: Mapping[str, Any]) -> Iterator[str]:
    yield "## Attributes of what is found"
    yield ""
    yield f"Agreement with the query's attributes (1: all of them), {ways[TO_IMAGE]['queries']} queries."
    yield ""
    yield "| k | record to picture | picture to record | any garment | best possible | nDCG |"
    yield "|---|---|---|---|---|---|"
    there, back = ways[TO_IMAGE], ways[TO_RECORD]
    for k, value in there["precision"].items():
        yield (
            f"| {k} | {value:.3f} | {back['precision'][k]:.3f} | {there['chance']:.3f} "
            f"| {there['ceiling'][k]:.3f} | {there['ndcg'][k]:.3f} |"
        )
    yield ""


def _probes(probes: Mapping[str, Any] | None) -> Iterator[str]:
    if probes is None:
        return
    share = probes["share"]
    yield "## Beside linear probes on the same image vectors"
    yield ""
    yield f"Retrieval by {probes['words']} probes: Recall@10 {probes['recall']['10']:.3f}, "
    yield f"agreement@10 {_number(probes['agreement']['precision'].get('10'))}; the encoder reaches "
    yield f"{_number(share['recall@10'])} and {_number(share['agreement@10'])} times as much."
    yield ""
    yield "| field | probe right | commonest word | garments |"
    yield "|---|---|---|---|"
    for name, field in probes["by_field"].items():
        yield f"| {name} | {field['accuracy']:.3f} | {field['commonest_word']:.3f} | {field['garments']} |"
    yield ""


def _groups(groups: Mapping[str, Any]) -> Iterator[str]:
    yield "## Groups of queries"
    yield ""
    yield "| group | queries | Top-1 | Recall@5 | Recall@10 |"
    yield "|---|---|---|---|---|"
    for name, body in groups.items():
        if "queries" in body:
            shares = [_interval(body.get(figure)) for figure in ("top1", "recall@5", "recall@10")]
            yield f"| {name} | {body['queries']} | {' | '.join(shares)} |"
    yield ""
    yield "Anchors against all others (permutation test):"
    yield ""
    for figure, told in groups["anchors_against_others"].items():
        difference, p = _number(told["difference"]), _number(told["p"])
        yield f"- {figure}: {told['verdict']}, difference {difference}, p {p}"
    yield ""


def _breakdown(what: str, words: Mapping[str, Any]) -> Iterator[str]:
    yield f"## By {what}"
    yield ""
    yield f"| {what} | queries | Top-1 | Top-5 | Recall@10 | MRR |"
    yield "|---|---|---|---|---|---|"
    for word, body in words.items():
        recall = body["recall"]
        yield (
            f"| {word} | {body['queries']} | {recall['1']:.3f} | {recall['5']:.3f} | {recall['10']:.3f} "
            f"| {body['mrr']:.3f} |"
        )
    yield ""


def _centrality(body: Mapping[str, Any]) -> Iterator[str]:
    yield "## Centrality"
    yield ""
    yield f"Mean {body['mean']:.3f} ± {body['std']:.3f}, from {body['min']:.3f} to {body['max']:.3f}; "
    yield f"{body['anchors']} anchors from {body['threshold']:.3f}, their mean {body['anchor_mean']:.3f}."
    yield ""
    yield "| style | garments | mean | anchors |"
    yield "|---|---|---|---|"
    for style, part in body["by_style"].items():
        yield f"| {style} | {part['count']} | {part['mean']:.3f} | {part['anchors']} |"
    yield ""


def _vectors(parts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Vectors"
    yield ""
    yield "| of | dimensions | length | variance per dimension | dead dimensions |"
    yield "|---|---|---|---|---|"
    for name, body in parts.items():
        norm, variance = body["norm"], body["variance"]
        yield (
            f"| {name} | {body['dimension']} | {norm['min']:.6f} to {norm['max']:.6f} "
            f"| {variance['mean']:.2e} | {variance['dead']} |"
        )
    yield ""


def _targets(body: Mapping[str, Any]) -> Iterator[str]:
    yield "## Targets on real data"
    yield ""
    yield "| figure | target | whole gallery | chance | ceiling | in batch | chance | ceiling |"
    yield "|---|---|---|---|---|---|---|---|"
    for target in targets_of(body):
        figures = [*target.gallery.values(), *target.in_batch.values()]
        yield f"| {target.name} | {target.bound:.2f} | {' | '.join(map(_number, figures))} |"
    yield ""
    yield "Those are what to reach in the whole gallery of real photographs; in a batch they say little."
    yield ""


def _interval(share: Mapping[str, float] | None) -> str:
    return "" if share is None else f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def rows_of(body: Mapping[str, Any]) -> Sequence[tuple[str, ...]]:
    """The headline for a terminal: figure, value, chance, ceiling."""
    rows: list[tuple[str, ...]] = []
    for name, title in (("gallery", "whole gallery"), ("in_batch", "in batch")):
        there = body[name][TO_IMAGE]
        rows += [
            (
                f"Recall@{k}, {title}",
                f"{v:.3f}",
                f"{there['chance'][k]:.3f}",
                f"{there['tie_ceiling'][k]:.3f}",
            )
            for k, v in there["recall"].items()
        ]
        rows.append((f"MRR, {title}", f"{there['mrr']:.3f}", "", ""))
    agreement = body["agreement"][TO_IMAGE]
    rows += [
        (f"agreement@{k}", f"{v:.3f}", f"{agreement['chance']:.3f}", f"{agreement['ceiling'][k]:.3f}")
        for k, v in agreement["precision"].items()
    ]
    return rows
