"""Candidates: what a request brings, and how its pictures become features of one release.

Legend: N candidates, D feature components.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.ranker.head import Head
from services.runtime.errors import FailedPrecondition, InvalidArgument, ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A backbone feature that the caller brings: float32, shape (D,)."""

    space_id: str
    vector: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing to judge. Content that could not be read is the error that says so."""

    index: int
    id: str
    content: bytes | Feature | ServiceError
    digest: str  # of the content, whatever its place in the request

    @property
    def key(self) -> str:
        """What equal scores are ordered by: the id, then the content."""
        return f"{self.id}\0{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Featured:
    """A candidate of which only the feature is kept."""

    index: int
    id: str
    key: str
    feature: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A candidate that cannot be judged."""

    index: int
    id: str
    error: ServiceError


Outcome = np.ndarray | ServiceError
# A feature or an error for each picture, and the milliseconds spent by stage.
Embed = Callable[[Sequence[bytes]], Awaitable[tuple[list[Outcome], dict[str, float]]]]


def digest(content: bytes | Feature | ServiceError) -> str:
    """What a content is, for equality: sha256, hexadecimal; empty for one that could not be read."""
    if isinstance(content, Feature):
        content = content.space_id.encode() + content.vector.tobytes()
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""


class Gathering:
    """The candidates of one request, gathered message by message; pictures are let go once embedded."""

    def __init__(self, head: Head, embed: Embed) -> None:
        self.featured: list[Featured] = []
        self.failed: list[Failed] = []
        self.ids: set[str] = set()
        self.spent_ms: dict[str, float] = {}
        self._head = head
        self._embed_pictures = embed
        self._embedded: dict[str, Outcome] = {}

    @property
    def count(self) -> int:
        """Candidates so far, judgeable or not."""
        return len(self.featured) + len(self.failed)

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Take candidates in; pictures of equal bytes are embedded once.

        Raises AtelierError: when the embedder cannot be asked. What is wrong with one candidate is kept.
        """
        await self._embed(candidates)
        for candidate in candidates:
            outcome = self._outcome(candidate)
            if isinstance(outcome, ServiceError):
                self.fail(candidate.index, candidate.id, outcome)
            else:
                self.featured.append(
                    Featured(index=candidate.index, id=candidate.id, key=candidate.key, feature=outcome)
                )

    def fail(self, index: int, candidate_id: str, error: ServiceError) -> None:
        """Keep what is wrong with one candidate."""
        self.failed.append(Failed(index=index, id=candidate_id, error=error))

    def spend(self, spent_ms: Mapping[str, float]) -> None:
        """Add milliseconds by stage to what the request took."""
        for stage, ms in spent_ms.items():
            self.spent_ms[stage] = self.spent_ms.get(stage, 0.0) + ms

    async def _embed(self, candidates: Iterable[Candidate]) -> None:
        pictures = {
            candidate.digest: candidate.content
            for candidate in candidates
            if isinstance(candidate.content, bytes) and candidate.digest not in self._embedded
        }
        if not pictures:
            return
        outcomes, spent_ms = await self._embed_pictures(list(pictures.values()))
        self._embedded |= dict(zip(pictures, outcomes, strict=True))
        self.spend(spent_ms)

    def _outcome(self, candidate: Candidate) -> Outcome:
        match candidate.content:
            case bytes():
                return self._embedded[candidate.digest]
            case Feature() as feature:
                return self._accepted(feature)
            case error:
                return error

    def _accepted(self, feature: Feature) -> Outcome:
        head = self._head
        if not feature.space_id:
            return InvalidArgument("the feature names no space", reason="NO_SPACE")
        if feature.space_id not in head.accepts:
            accepted = ", ".join(space_id[:12] for space_id in head.accepts)
            return FailedPrecondition(
                f"the feature is of space {feature.space_id[:12]}, {head.version} accepts {accepted}",
                reason="WRONG_SPACE",
            )
        if len(feature.vector) != head.dimension:
            return InvalidArgument(
                f"the feature has {len(feature.vector)} components, {head.version} takes {head.dimension}",
                reason="WRONG_DIMENSION",
            )
        if not np.isfinite(feature.vector).all():
            return InvalidArgument("the feature holds NaN or infinity", reason="NOT_FINITE")
        return feature.vector
