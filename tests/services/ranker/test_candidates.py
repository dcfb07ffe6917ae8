"""Candidates become features: pictures embedded once, features checked, failures kept."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from services.client.embedder import EmbeddedInputs
from services.messages.contents import CallerVector
from services.messages.replies import StageTimes
from services.ranker.candidates import Candidate, CandidateSet, ScoredCandidates, digest
from services.runtime.admission.work_queue import WorkQueue
from services.runtime.errors import InvalidArgument

WORK = WorkQueue(1.0, CollectorRegistry()).admit(0, 1.0)
HEAD: Any = SimpleNamespace(accepts=("a" * 64,), dimension=2, version="artwork-head/1")


def candidate(index: int, content: Any, candidate_id: str = "") -> Candidate:
    return Candidate(index=index, id=candidate_id, content=content, digest=digest(content))


def vector(*values: float) -> CallerVector:
    return CallerVector(space_id="a" * 64, values_D=np.array(values, np.float32))


class Lengths:
    """The feature of a picture is its length; an empty one is an error. Each call takes 3 ms to compute."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, pictures: Sequence[bytes]) -> EmbeddedInputs:
        self.asked += pictures
        outcomes = [np.full(2, len(p), np.float32) if p else InvalidArgument("empty") for p in pictures]
        return EmbeddedInputs(outcomes=tuple(outcomes), times=StageTimes(compute_ms=3.0))


def test_equal_pictures_are_embedded_once() -> None:
    """Within a message and across messages; the times of the calls add up."""
    embed = Lengths()
    candidates = CandidateSet(HEAD, embed, WORK)

    async def scenario() -> None:
        await candidates.add([candidate(0, b"abc"), candidate(1, b"abc")])
        await candidates.add([candidate(2, b"abc"), candidate(3, b"ab")])
        await candidates.add([candidate(4, b"ab")])

    asyncio.run(scenario())

    assert embed.asked == [b"abc", b"ab"]
    assert [featured.feature_D[0] for featured in candidates.featured] == [3, 3, 3, 2, 2]
    assert candidates.times == StageTimes(compute_ms=6.0)


def test_what_cannot_be_judged_is_kept_with_its_error() -> None:
    """A picture, a feature and a content that is missing fail alone (S-5)."""
    candidates = CandidateSet(HEAD, Lengths(), WORK)
    missing = InvalidArgument("no content", reason="NO_CONTENT")

    asyncio.run(
        candidates.add(
            [
                candidate(0, b"", "torn"),
                candidate(1, vector(1, 2), "good"),
                candidate(2, vector(1), "short"),
                candidate(3, missing, "bare"),
            ]
        )
    )

    assert [featured.id for featured in candidates.featured] == ["good"]
    assert [(failure.index, failure.id, failure.error.reason) for failure in candidates.failed] == [
        (0, "torn", "INVALID_ARGUMENT"),
        (2, "short", "WRONG_DIMENSION"),
        (3, "bare", "NO_CONTENT"),
    ]
    assert candidates.count == 4


def test_equal_contents_have_equal_keys() -> None:
    """The order of equal scores depends on id and content alone, not on the place in the request."""
    assert candidate(0, b"x", "a").key == candidate(7, b"x", "a").key
    assert candidate(0, b"x", "a").key != candidate(0, b"y", "a").key
    assert candidate(0, vector(1, 2)).key == candidate(1, vector(1, 2)).key != candidate(1, vector(2, 1)).key
    assert digest(InvalidArgument("unread")) == ""


def test_a_score_has_an_uncertainty_where_the_head_has_one() -> None:
    """Without an uncertainty output there is none to write."""

    def scored(uncertainty_N: np.ndarray | None) -> ScoredCandidates:
        return ScoredCandidates(
            candidates=(),
            score_N=np.ones(1),
            embedding_NE=np.ones((1, 2)),
            uncertainty_N=uncertainty_N,
            failed=(),
            times=StageTimes(),
        )

    assert scored(np.array([0.5])).uncertainty(0) == 0.5
    assert scored(None).uncertainty(0) is None
