"""A report for people: `report.md` beside `report.json` (A-17)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.artwork.charts import CHART_FILE
from trainer.artwork.metadata import TIERS

# What the figures are to reach on data of one's own, and where learning by heart begins.
TEST_TARGET, VAL_TARGET, TRAIN_MOST = 0.60, 0.62, 0.80


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report as Markdown: figures with targets, tiers, departments, the split, the charts."""
    return "\n".join(
        (
            *_head(body),
            *_tables(body["test"]),
            *_confusion(body["test"]["confusion"]),
            *_split(body),
            f"![charts]({CHART_FILE})",
            "",
        )
    )


def warnings_of(body: Mapping[str, Any]) -> list[str]:
    """What a reader must not overlook: missed targets, and a head that learnt its pictures by heart."""
    test, val = body["test"]["pairwise_accuracy"], body["val"]["accuracy"]
    train = _train_accuracy(body)
    told = []
    if test is None or test < TEST_TARGET:
        told.append(f"test accuracy {_number(test)} is below the target {TEST_TARGET:.2f}")
    if val < VAL_TARGET:
        told.append(f"validation accuracy {val:.3f} is below the target {VAL_TARGET:.2f}")
    if test is not None and train > TRAIN_MOST and train - test > TRAIN_MOST - TEST_TARGET:
        told.append(
            f"train accuracy {train:.3f} is {train - test:.3f} above test: overfitted, see dropout, depth, "
            "augmentation, hard pairs and ensembles in config/artwork.yml"
        )
    return told


def _train_accuracy(body: Mapping[str, Any]) -> float:
    best = next(epoch for epoch in body["epochs"] if epoch["epoch"] == body["best_epoch"])
    return float(best["train/accuracy"])


def _head(body: Mapping[str, Any]) -> Iterator[str]:
    test, backbone = body["test"], body["backbone"]
    low, high = test["interval"]
    yield f"# Artwork head on {backbone['version']}"
    yield ""
    yield f"Test pairwise accuracy **{_number(test['pairwise_accuracy'])}** "
    yield f"(95 % interval over artists {_number(low)} to {_number(high)}; {test['pair_count']} pairs, "
    yield f"{100 * test['tie_share']:.1f} % of equal score)."
    yield ""
    for warning in warnings_of(body):
        yield f"> {warning}"
        yield ""
    yield "| figure | value |"
    yield "|---|---|"
    yield f"| train accuracy, best epoch | {_train_accuracy(body):.3f} |"
    yield f"| validation accuracy | {body['val']['accuracy']:.3f} |"
    yield f"| accuracy of neighbouring tiers | {_number(test['accuracy_of_neighbours'])} |"
    yield f"| Kendall's tau | {_number(test['kendall_tau'])} |"
    yield f"| Spearman's rho | {_number(test['spearman'])} |"
    yield f"| calibration error (ECE) | {_number(test['calibration']['error'])} |"
    yield f"| temperature | {body['temperature']:.4g} |"
    yield f"| best epoch | {body['best_epoch']} of {len(body['epochs'])} |"
    yield f"| seconds | {body['seconds']} |"
    yield ""


def _tables(test: Mapping[str, Any]) -> Iterator[str]:
    for title, figures in (
        ("tiers", test["accuracy_by_gap"]),
        ("department", test["accuracy_by_department"]),
    ):
        if figures:
            yield f"| {title} | accuracy |"
            yield "|---|---|"
            yield from (f"| {name} | {_number(value)} |" for name, value in figures.items())
            yield ""


def _confusion(confusion: Sequence[Sequence[int]]) -> Iterator[str]:
    yield f"| tier, put by score into | {' | '.join(TIERS)} |"
    yield "|---|" + "---|" * len(TIERS)
    for tier, row in zip(TIERS, confusion, strict=True):
        yield f"| {tier} | {' | '.join(map(str, row))} |"
    yield ""


def _split(body: Mapping[str, Any]) -> Iterator[str]:
    yield "| part | artworks | artists | share |"
    yield "|---|---|---|---|"
    for name in ("train", "val", "test"):
        part = body["split"][name]
        yield f"| {name} | {part['count']} | {part['artists']} | {part['ratio']:.3f} |"
    yield ""
    split, data = body["split"], body["data_version"]
    yield f"Split {split['digest'][:12]}, seed {split['seed']}; data {data[:12]}."
    yield ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
