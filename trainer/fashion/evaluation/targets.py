"""What the figures are to reach on real data, beside chance, ceiling and probes (F-18)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.fashion.evaluation.encoded import TO_IMAGE
from trainer.fashion.evaluation.query_groups import ALL, ANCHOR, GROUP_KS


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure of F-18: the recall at k of a group of queries, `low` or more, up to `high` if set."""

    name: str
    k: int
    group: str
    low: float
    high: float | None = None

    @property
    def bounds(self) -> str:
        """The bounds as text."""
        return f"≥ {self.low:.2f}" if self.high is None else f"{self.low:.2f} to {self.high:.2f}"


TARGETS = (
    Target(name="Top-5, sample", k=5, group=ALL, low=0.70),
    Target(name="Top-5, bestsellers (anchors)", k=5, group=ANCHOR, low=0.70, high=0.90),
    Target(name="Top-5, after tuning", k=5, group=ALL, low=0.90),
    Target(name="Top-1, after tuning", k=1, group=ALL, low=0.90),
    Target(name="Recall@10, all", k=10, group=ALL, low=0.75, high=0.80),
    Target(name="Recall@10, anchors", k=10, group=ANCHOR, low=0.85, high=0.92),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFigures:
    """A target with its figures in the whole gallery and within a batch: value, chance and ceiling of each.

    The gallery's have those of the probes too; what was not measured is None.
    """

    target: Target
    gallery: Mapping[str, float | None]
    in_batch: Mapping[str, float | None]

    @property
    def verdict(self) -> str:
        """Whether the whole gallery reaches the target, or whether ties allow it at all."""
        value, ceiling = self.gallery["value"], self.gallery["ceiling"]
        if value is None:
            return "no queries"
        if ceiling is not None and ceiling < self.target.low:
            return f"above the ceiling of {ceiling:.3f}: equal records allow no more"
        return "reached" if value >= self.target.low else "missed"


def targets_of(body: Mapping[str, Any]) -> tuple[TargetFigures, ...]:
    """Each target with the figures that are to reach it, from the body of an evaluation."""
    return tuple(_figures(body, target) for target in TARGETS)


def _figures(body: Mapping[str, Any], target: Target) -> TargetFigures:
    figure, k = next(name for name, k in GROUP_KS.items() if k == target.k), str(target.k)
    share = body["query_groups"][target.group].get(figure, {})
    among = body["in_batch"]["anchor"] if target.group == ANCHOR else body["in_batch"][TO_IMAGE]
    probes = body.get("probes", {}).get("query_groups", {}).get(target.group, {})
    return TargetFigures(
        target=target,
        gallery={
            "value": share.get("value"),
            "chance": body["gallery"][TO_IMAGE]["chance"][k],
            "ceiling": share.get("tie_ceiling"),
            "probes": probes.get(figure),
        },
        in_batch={
            "value": among.get("recall", {}).get(k),
            "chance": among["chance"].get(k),
            "ceiling": among["tie_ceiling"].get(k),
        },
    )
