"""Candidates: what a request brings, how its pictures become features of one release, and their scores.

Legend: N candidates that have a score, D feature components, E embedding components.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from inference.head import Head
from services.client.embedder import EmbeddedInputs
from services.messages.contents import CallerVector
from services.messages.replies import ItemFailure, StageTimes
from services.runtime.errors import ServiceError

Embed = Callable[[Sequence[bytes]], Awaitable[EmbeddedInputs]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing to judge. Content that could not be read is the error that says so."""

    index: int
    id: str
    content: bytes | CallerVector | ServiceError
    digest: str  # of the content, whatever its place in the request

    @property
    def key(self) -> str:
        """The order of equal scores: by the id, then by the content."""
        return f"{self.id}\0{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturedCandidate:
    """A candidate of which only the feature is kept: float32, shape (D,)."""

    index: int
    id: str
    key: str
    feature_D: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCandidates:
    """Candidates with their scores, higher is better; those that failed; and the time that all took.

    score_N, uncertainty_N (None from a head that has none) and embedding_NE are float32.
    """

    candidates: Sequence[FeaturedCandidate]
    score_N: np.ndarray
    embedding_NE: np.ndarray
    uncertainty_N: np.ndarray | None
    failed: Sequence[ItemFailure]
    times: StageTimes

    def uncertainty(self, row: int) -> float | None:
        """The standard deviation of one score; None from a head that has none."""
        return None if self.uncertainty_N is None else float(self.uncertainty_N[row])


def digest(content: bytes | CallerVector | ServiceError) -> str:
    """sha256 of a content, hexadecimal, equal for equal contents; empty for one that could not be read."""
    if isinstance(content, CallerVector):
        content = content.space_id.encode() + content.values_D.tobytes()
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""


class CandidateSet:
    """The candidates of one request, added message by message; a picture is dropped once embedded."""

    def __init__(self, head: Head, embed: Embed) -> None:
        self.featured: list[FeaturedCandidate] = []
        self.failed: list[ItemFailure] = []
        self.ids: set[str] = set()
        self.times = StageTimes()
        self._head = head
        self._embed_pictures = embed
        self._embedded: dict[str, np.ndarray | ServiceError] = {}

    @property
    def count(self) -> int:
        """Candidates so far, judgeable or not."""
        return len(self.featured) + len(self.failed)

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Add candidates; pictures of equal bytes are embedded once.

        Raises ServiceError: when the embedder cannot be asked. A single candidate's error joins `failed`.
        """
        await self._embed(candidates)
        for candidate in candidates:
            feature_D = self._feature(candidate)
            if isinstance(feature_D, ServiceError):
                self.fail(candidate, feature_D)
            else:
                self.featured.append(
                    FeaturedCandidate(
                        index=candidate.index, id=candidate.id, key=candidate.key, feature_D=feature_D
                    )
                )

    def fail(self, candidate: Candidate | FeaturedCandidate, error: ServiceError) -> None:
        """Add a candidate's error to `failed`."""
        self.failed.append(ItemFailure(index=candidate.index, id=candidate.id, error=error))

    async def _embed(self, candidates: Iterable[Candidate]) -> None:
        pictures = {
            candidate.digest: candidate.content
            for candidate in candidates
            if isinstance(candidate.content, bytes) and candidate.digest not in self._embedded
        }
        if pictures:
            embedded = await self._embed_pictures(list(pictures.values()))
            self._embedded |= dict(zip(pictures, embedded.outcomes, strict=True))
            self.times += embedded.times

    def _feature(self, candidate: Candidate) -> np.ndarray | ServiceError:
        head = self._head
        match candidate.content:
            case bytes():
                return self._embedded[candidate.digest]
            case CallerVector() as feature:
                try:
                    return feature.check(
                        head.accepts, head.dimension, field="feature", taker=str(head.version)
                    )
                except ServiceError as error:
                    return error
            case error:
                return error
