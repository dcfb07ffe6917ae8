"""Candidates: what a request brings, how its pictures become features of one release, and their scores.

Legend: N candidates that have a score, D feature components, E embedding components, R outputs of the head
for one candidate: its score, its uncertainty where the head has one, its embedding.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from inference.errors import BadOutput
from inference.head import Head
from inference.vectors.recent import RecentVectors
from model_store.store import Version
from services.client.embedder import EmbeddedInputs
from services.messages.contents import CallerVector
from services.messages.replies import ItemFailure, StageTimes
from services.runtime.admission.work_queue import AdmittedWork
from services.runtime.errors import InvalidArgument, ServiceError

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
    """A candidate of which only the feature is kept: float32, shape (D,).

    output_R: what the head computed for the same picture before, in place of the feature.
    picture: digest of the picture whose output may be remembered; empty for any other content.
    """

    index: int
    id: str
    key: str
    feature_D: np.ndarray | None
    output_R: np.ndarray | None = None
    picture: str = ""

    def blame(self, error: BadOutput, backbone: Version) -> Exception:
        """The error of a head's bad output: the caller's if a feature is none that the backbone makes."""
        low, high = backbone.manifest.norm_range
        if self.picture or self.feature_D is None:
            return error
        norm = float(np.linalg.norm(self.feature_D.astype(np.float64)))
        if low <= norm <= high:
            return error
        return InvalidArgument(
            f"the feature's norm is {norm:.4g}, those of {backbone} have {low:.4g} to {high:.4g}",
            reason="FEATURE_OUT_OF_RANGE",
        )


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

    @classmethod
    def of(
        cls,
        candidates: Sequence[FeaturedCandidate],
        outputs: Sequence[np.ndarray],
        request: "CandidateSet",
        *,
        has_uncertainty: bool,
    ) -> Self:
        """The candidates of a request with their outputs (R,)."""
        output_NR = np.stack(outputs) if outputs else np.empty((0, 1 + has_uncertainty), np.float32)
        return cls(
            candidates=candidates,
            score_N=output_NR[:, 0],
            embedding_NE=output_NR[:, 1 + has_uncertainty :],
            uncertainty_N=output_NR[:, 1] if has_uncertainty else None,
            failed=request.failed,
            times=request.times,
        )

    def uncertainty(self, row: int) -> float | None:
        """The standard deviation of one score; None from a head that has none."""
        return None if self.uncertainty_N is None else float(self.uncertainty_N[row])


def digest(content: bytes | CallerVector | ServiceError) -> str:
    """sha256 of a content, hexadecimal, equal for equal contents; empty for one that could not be read."""
    if isinstance(content, CallerVector):
        content = content.space_id.encode() + content.values_D.tobytes()
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""


class CandidateSet:
    """The candidates of one request, added message by message; a picture is dropped once embedded.

    judged: the head's outputs for pictures of earlier requests, by digest; None to neither read nor keep any.
    work: what it brings beside pictures.
    """

    def __init__(
        self, head: Head, embed: Embed, work: AdmittedWork, judged: RecentVectors | None = None
    ) -> None:
        self.work = work
        self.featured: list[FeaturedCandidate] = []
        self.failed: list[ItemFailure] = []
        self.ids: set[str] = set()
        self.times = StageTimes()
        self._head = head
        self._embed_pictures = embed
        self._judged = judged
        self._known: dict[str, np.ndarray] = {}
        self._embedded: dict[str, np.ndarray | ServiceError] = {}

    @property
    def count(self) -> int:
        """Candidates so far, judgeable or not."""
        return len(self.featured) + len(self.failed)

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Add candidates; pictures of equal bytes are embedded once, those judged before not at all.

        Raises ServiceError: when the embedder cannot be asked. A single candidate's error joins `failed`.
        """
        await self._embed(candidates)
        for candidate in candidates:
            is_picture = isinstance(candidate.content, bytes)
            output_R = self._known.get(candidate.digest) if is_picture else None
            feature_D = None if output_R is not None else self._feature(candidate)
            if isinstance(feature_D, ServiceError):
                self.fail(candidate, feature_D)
                continue
            self.featured.append(
                FeaturedCandidate(
                    index=candidate.index,
                    id=candidate.id,
                    key=candidate.key,
                    feature_D=feature_D,
                    output_R=output_R,
                    picture=candidate.digest if is_picture else "",
                )
            )

    def fail(self, candidate: Candidate | FeaturedCandidate, error: ServiceError) -> None:
        """Add a candidate's error to `failed`."""
        self.failed.append(ItemFailure(index=candidate.index, id=candidate.id, error=error))

    def remember(self, output_of: Mapping[str, np.ndarray]) -> None:
        """Keep outputs of the head, float32 (R,), by the digest of their picture, if any may be kept."""
        if self._judged is not None:
            self._judged.put_many(output_of)

    async def _embed(self, candidates: Iterable[Candidate]) -> None:
        pictures = {
            candidate.digest: candidate.content
            for candidate in candidates
            if isinstance(candidate.content, bytes) and candidate.digest not in self._embedded
        }
        if self._judged is not None:
            self._known |= self._judged.get_many(pictures)
        unknown = {key: picture for key, picture in pictures.items() if key not in self._known}
        if unknown:
            embedded = await self._embed_pictures(list(unknown.values()))
            self._embedded |= dict(zip(unknown, embedded.outcomes, strict=True))
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
