"""Ranking through the client: message or stream, by itself."""

from collections.abc import Iterator
from typing import Any

import pytest
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.client.ranker import RankerClient, feature, picture
from services.runtime.limits import MIB

from .conftest import Bounds, serving, status
from .conftest import fail as end

REGISTER = ranker_pb2_grpc.add_RankerServiceServicer_to_server


class Counting(ranker_pb2_grpc.RankerServiceServicer):
    """Places candidates as they come, and remembers the messages."""

    def __init__(self) -> None:
        self.messages: list[list[int]] = []
        self.options: list[ranker_pb2.RankOptions] = []
        self.failures = 0

    def Rank(self, request: ranker_pb2.RankRequest, context: Any) -> ranker_pb2.RankResponse:
        self.messages.append([len(request.candidates)])
        self.options.append(request.options)
        return placed([candidate.id for candidate in request.candidates])

    def RankStream(self, requests: Iterator[Any], context: Any) -> ranker_pb2.RankStreamResponse:
        messages = list(requests)
        if self.failures:
            self.failures -= 1
            end(context, status(14, "later"))
        self.messages.append([len(message.candidates) for message in messages])
        self.options.append(messages[0].options)
        ids = [candidate.id for message in messages for candidate in message.candidates]
        return ranker_pb2.RankStreamResponse(ranking=placed(ids))


def placed(ids: list[str]) -> ranker_pb2.RankResponse:
    return ranker_pb2.RankResponse(placements=[ranker_pb2.Placement(id=one) for one in ids])


@pytest.mark.parametrize(
    ("candidates", "messages"),
    [
        ([picture(b"x", str(i)) for i in range(128)], [128]),
        ([feature("a" * 64, [1.0], str(i)) for i in range(1_000)], [1_000]),
        ([picture(b"x", str(i)) for i in range(300)], [128, 128, 44]),
        ([picture(bytes(9 * MIB), str(i)) for i in range(8)], [7, 1]),
    ],
    ids=["one message", "features", "many pictures", "large pictures"],
)
@pytest.mark.slow
def test_rank_streams_what_one_message_cannot_hold(
    candidates: list[ranker_pb2.Candidate], messages: list[int]
) -> None:
    """Beyond 128 pictures or 64 MiB the client streams; the answer is the same kind (S-7)."""
    servicer = Counting()
    options = ranker_pb2.RankOptions(tie_margin=0.5, no_store=True)
    with serving(REGISTER, servicer) as address, RankerClient(address) as client:
        reply = client.rank(candidates, options)

    assert servicer.messages == [messages]
    assert servicer.options == [options]
    assert [placement.id for placement in reply.placements] == [candidate.id for candidate in candidates]


@pytest.mark.slow
def test_a_stream_is_retried_whole() -> None:
    """A retry sends every message anew (S-7)."""
    servicer = Counting()
    servicer.failures = 1
    with serving(REGISTER, servicer) as address, RankerClient(address) as client:
        client.rank([picture(b"x", str(i)) for i in range(130)])

    assert servicer.messages == [[128, 2]]


class Bounded(Counting):
    """Takes as many candidates a message as its bounds say."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds

    def Rank(self, request: ranker_pb2.RankRequest, context: Any) -> ranker_pb2.RankResponse:
        self.bounds.check(len(request.candidates), context)
        return super().Rank(request, context)

    def GetLimits(self, request: Any, context: Any) -> ranker_pb2.GetLimitsResponse:
        return ranker_pb2.GetLimitsResponse(limits=self.bounds.limits())


def test_the_ranker_s_own_bound_decides_between_message_and_stream() -> None:
    """What GetLimits says is followed, asked for once, and again when a message is refused (S-7)."""
    bounds = Bounds(16)
    servicer = Bounded(bounds)
    with serving(REGISTER, servicer) as address, RankerClient(address) as client:
        for count in (16, 40):
            client.rank([picture(b"x", str(i)) for i in range(count)])
        assert (servicer.messages, bounds.asked) == ([[16], [16, 16, 8]], 1)

        bounds.image_count = 8
        client.rank([picture(b"x", str(i)) for i in range(10)])

    assert servicer.messages[2:] == [[8, 2]]
    assert (bounds.asked, bounds.refused) == (2, 1)
