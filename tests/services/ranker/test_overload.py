"""More than the ranker can do: what would be late is refused at once, the rest is answered."""

import asyncio
import time
from typing import Any

import grpc
import numpy as np
import pytest
from atelier.ranker.v1 import ranker_pb2
from google.rpc import error_details_pb2, status_pb2

from inference.head import Head, Judgement
from services.client.ranker import feature
from tests.services.ranker.conftest import WIDTH, Gallery, Ranking, Serve
from tests.services.ranker.test_servicer import ask, pictures, unpacked


@pytest.mark.slow
def test_large_requests_that_would_be_late_are_rejected_at_once(
    serve: Serve, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes the head 0.2 s: of sixteen with a deadline of 2 s those that cannot be done get QUEUE_FULL
    with a time to retry, every accepted one is answered, and a small call meanwhile (S-4, S-12)."""
    judge, space_id = Head.judge, gallery.backbone.space_id

    def slow(self: Head, feature_ND: np.ndarray) -> Judgement:
        time.sleep(0.2)
        return judge(self, feature_ND)

    monkeypatch.setattr(Head, "judge", slow)
    candidates = [feature(space_id, [0.1] * WIDTH, f"{n:04}{'x' * 300}") for n in range(900)]
    request = ranker_pb2.RankRequest(candidates=candidates)

    async def fate(call: Any) -> tuple[str, bool]:
        """The reason of its rejection, if it was rejected, and whether a time to retry came with that."""
        if await call.code() is grpc.StatusCode.OK:
            return "answered", True
        trailer = dict(await call.trailing_metadata())
        status = status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b""))
        (info,) = unpacked(status, error_details_pb2.ErrorInfo)
        return info.reason, len(unpacked(status, error_details_pb2.RetryInfo)) == 1

    async def question(it: Ranking) -> list[tuple[str, bool]]:
        await it.stub.Rank(request)
        many = [fate(it.stub.Rank(request, timeout=2.0)) for _ in range(16)]
        small = it.stub.Score(ranker_pb2.ScoreRequest(candidates=pictures(1)), timeout=2.0)
        *fates, _ = await asyncio.gather(*many, small)
        return fates

    fates = ask(serve, question)

    assert set(fates) == {("answered", True), ("QUEUE_FULL", True)}
    assert fates.count(("answered", True)) >= 2
