"""An evaluation for people: `evaluation.md`, and its headline for a terminal (F-12 to F-18)."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.fashion.evaluation import charts
from trainer.fashion.evaluation.encoded import TO_IMAGE, TO_RECORD
from trainer.fashion.evaluation.targets import targets_of
from trainer.reports.markdown import decimals, interval, join_blocks, table

_SHOWN_WORDS = 5
_FIGURES = ("top1", "recall@5", "recall@10")


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report as Markdown: full gallery first, chance and tie ceiling beside every recall."""
    return join_blocks(
        f"# Records and pictures of {body['garments']} garments ({body['split']})",
        *(f"> {note}" for note in notes_on(body)),
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


def notes_on(body: Mapping[str, Any]) -> Sequence[str]:
    """What a reader has to know before the figures: whose garments they are, and what was left out."""
    notes = []
    if not body["trained_on"]:
        notes.append("Not the garments that the run was trained on; some may have been, in another part.")
    if body["split"] == "train":
        notes.append("The run was trained on these garments: other garments are found less often.")
    if body["chosen_by"]:
        notes.append("The best epoch was chosen by these garments; the test part judges without a choice.")
    notes += notes_on_words(body["unknown_words"])
    for part, count in body["dropped"].items():
        notes.append(f"{count} garments of {part} are left out: another part has their picture too.")
    return notes


def notes_on_words(unknown: Mapping[str, Mapping[str, int]]) -> Sequence[str]:
    """A line for each field with words that the encoder does not know."""
    return [
        f"The encoder does not know {len(words)} words of {name} ({sum(words.values())} times): "
        + ", ".join(list(words)[:_SHOWN_WORDS])
        + (", …" if len(words) > _SHOWN_WORDS else "")
        for name, words in unknown.items()
    ]


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
        *_balance(groups["category_balanced"]),
        "Anchors against all others (permutation of looks):",
        "\n".join(verdicts),
    )


def _balance(body: Mapping[str, Any]) -> Sequence[str]:
    if not body.get("styles"):
        return ("No garment has a style, so no group is balanced.",)
    left_out = f"; too rare: {', '.join(body['left_out'])}" if body["left_out"] else ""
    return (f"Balanced: {body['of_each']} garments of each of {len(body['styles'])} styles{left_out}.",)


def _breakdown(what: str, words: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        (
            word,
            body["queries"],
            *_numbers(*(body["recall"][k] for k in ("1", "5", "10")), body["mrr"]),
            decimals(body[TO_RECORD]["recall"]["10"]),
        )
        for word, body in words.items()
    ]
    columns = (what, "queries", "Top-1", "Top-5", "Recall@10", "MRR", "Recall@10, picture to record")
    return f"## By {what}", table(columns, rows)


def _centrality(body: Mapping[str, Any]) -> Sequence[str]:
    spread = (
        f"Mean {body['mean']:.3f} ± {body['std']:.3f}, from {body['min']:.3f} to {body['max']:.3f}; "
        f"{body['anchors']} anchors from {body['threshold']:.3f}, their mean {body['anchor_mean']:.3f}."
    )
    tables = [
        table((what, "garments", "mean", "least", "most", "anchors"), _centrality_rows(body[f"by_{what}"]))
        for what in ("style", "category")
    ]
    return "## Centrality", spread, *tables


def _centrality_rows(words: Mapping[str, Any]) -> Sequence[tuple[object, ...]]:
    return [
        (word, part["count"], *_numbers(*(part[name] for name in ("mean", "min", "max"))), part["anchors"])
        for word, part in words.items()
    ]


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
    columns = (
        "figure",
        "target",
        "whole gallery",
        "chance",
        "ceiling",
        "probes",
        "in batch",
        "chance",
        "ceiling",
        "",
    )
    return (
        "## Targets on real data",
        table(columns, rows_of_targets(body)),
        "These are bounds for the whole gallery of real photographs; in a batch they say little.",
        "Anchors stand in for bestsellers.",
    )


def rows_of_targets(body: Mapping[str, Any]) -> Sequence[tuple[str, ...]]:
    """Each target of F-18: its bounds, the figures of gallery and batch, and whether it is reached."""
    return [
        (
            figures.target.name,
            figures.target.bounds,
            *_numbers(*figures.gallery.values(), *figures.in_batch.values()),
            figures.verdict,
        )
        for figures in targets_of(body)
    ]


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
