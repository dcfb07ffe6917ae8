"""Client of the ranker: which picture is better."""

import time
from collections.abc import Sequence
from typing import Final

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from atelier.types.v1 import types_pb2

from services.client.channel import DEADLINE_S, BlockingClient
from services.client.chunks import MessageBounds, chunked, content_bytes, is_beyond_bounds
from services.runtime.errors import ServiceError
from services.runtime.security import INSECURE, ClientSecurity

STREAM_S: Final = 600.0

Candidates = Sequence[ranker_pb2.Candidate]


def picture(data: bytes, candidate_id: str = "") -> ranker_pb2.Candidate:
    """An encoded picture as a candidate."""
    return ranker_pb2.Candidate(id=candidate_id, image=data)


def feature(space_id: str, values: Sequence[float], candidate_id: str = "") -> ranker_pb2.Candidate:
    """A backbone feature as a candidate."""
    vector = types_pb2.SpaceVector(space_id=space_id, values=values)
    return ranker_pb2.Candidate(id=candidate_id, feature=vector)


class RankerClient(BlockingClient):
    """The blocking client of a person or program; it retries UNAVAILABLE."""

    def __init__(self, address: str, *, security: ClientSecurity = INSECURE) -> None:
        stub = ranker_pb2_grpc.RankerServiceStub
        super().__init__(address, "ranker", security, stub, ranker_pb2.GetLimitsRequest())

    def rank(
        self,
        candidates: Candidates,
        options: ranker_pb2.RankOptions | None = None,
        *,
        deadline_s: float | None = None,
    ) -> ranker_pb2.RankResponse:
        """Candidates from best to worst; more than a message holds (`GetLimits`) go as a stream.

        deadline_s: by default 60 for a message and 600 for a stream.
        Raises ServiceError: when no candidate can be read, or the request is wrong.
        """
        request = ranker_pb2.RankRequest(candidates=candidates, options=options)
        end = time.monotonic() + (deadline_s or DEADLINE_S)
        bounds = self._bounds(end) if len(candidates) > 1 else MessageBounds()
        try:
            return self._rank(request, bounds, deadline_s)
        except ServiceError as error:
            if not is_beyond_bounds(error) or bounds == (bounds := self._bounds(end, anew=True)):
                raise
        return self._rank(request, bounds, deadline_s)

    def compare(
        self,
        candidate_a: ranker_pb2.Candidate,
        candidate_b: ranker_pb2.Candidate,
        *,
        min_probability: float | None = None,
        no_store: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> ranker_pb2.CompareResponse:
        """P(a better than b), with both scores and a verdict, which abstains below `min_probability`.

        Raises ServiceError: when either cannot be read.
        """
        request = ranker_pb2.CompareRequest(
            candidate_a=candidate_a,
            candidate_b=candidate_b,
            no_store=no_store,
            min_probability=min_probability,
        )
        return self._call(self._stub.Compare, request, deadline_s)

    def score(
        self,
        candidates: Candidates,
        *,
        no_store: bool = False,
        include_embeddings: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> ranker_pb2.ScoreResponse:
        """Scores in the order of the candidates, without those that failed. Raises ServiceError."""
        request = ranker_pb2.ScoreRequest(
            candidates=candidates, no_store=no_store, include_embeddings=include_embeddings
        )
        return self._call(self._stub.Score, request, deadline_s)

    def list_models(self, *, deadline_s: float = DEADLINE_S) -> ranker_pb2.ListModelsResponse:
        """The followed head and the backbone that it pins. Raises ServiceError."""
        return self._call(self._stub.ListModels, ranker_pb2.ListModelsRequest(), deadline_s)

    def _rank(
        self, request: ranker_pb2.RankRequest, bounds: MessageBounds, deadline_s: float | None
    ) -> ranker_pb2.RankResponse:
        pictures = sum(candidate.HasField("image") for candidate in request.candidates)
        byte_count = sum(map(content_bytes, request.candidates))
        if pictures <= bounds.item_count and byte_count <= bounds.byte_count:
            return self._call(self._stub.Rank, request, deadline_s or DEADLINE_S)
        chunks = chunked(request.candidates, *bounds, content_bytes)
        messages = [ranker_pb2.RankStreamRequest(candidates=chunk) for chunk in chunks]
        messages[0].options.CopyFrom(request.options)
        return self._call(self._stub.RankStream, messages, deadline_s or STREAM_S).ranking
