"""Client of the ranker: which picture is better."""

from collections.abc import Sequence
from typing import Any, Final

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from atelier.types.v1 import types_pb2

from services.client.channel import DEADLINE_S, BlockingClient
from services.client.chunks import chunked
from services.runtime.limits import Limits
from services.runtime.security import INSECURE, ClientSecurity

STREAM_S: Final = 600.0
_BOUNDS: Final = Limits()

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
        super().__init__(address, "ranker", security)
        self._stub: Any = ranker_pb2_grpc.RankerServiceStub(self._connection.channel)  # type: ignore[no-untyped-call]

    def rank(
        self,
        candidates: Candidates,
        options: ranker_pb2.RankOptions | None = None,
        *,
        deadline_s: float | None = None,
    ) -> ranker_pb2.RankResponse:
        """Candidates from best to worst; more than one message holds (128 pictures, 64 MiB) go as a stream.

        deadline_s: by default 60 for a message and 600 for a stream.
        Raises ServiceError: when no candidate can be read, or the request is wrong.
        """
        options = options or ranker_pb2.RankOptions()
        pictures = sum(candidate.HasField("image") for candidate in candidates)
        size = sum(candidate.ByteSize() for candidate in candidates)
        if pictures > _BOUNDS.message_images or size > _BOUNDS.message_bytes:
            return self._rank_stream(candidates, options, deadline_s or STREAM_S)
        request = ranker_pb2.RankRequest(candidates=candidates, options=options)
        reply: ranker_pb2.RankResponse = self._connection.call(
            self._stub.Rank, lambda: request, deadline_s or DEADLINE_S
        )
        return reply

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
        reply: ranker_pb2.CompareResponse = self._connection.call(
            self._stub.Compare, lambda: request, deadline_s
        )
        return reply

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
        reply: ranker_pb2.ScoreResponse = self._connection.call(self._stub.Score, lambda: request, deadline_s)
        return reply

    def list_models(self, *, deadline_s: float = DEADLINE_S) -> ranker_pb2.ListModelsResponse:
        """The followed head and the backbone that it pins. Raises ServiceError."""
        reply: ranker_pb2.ListModelsResponse = self._connection.call(
            self._stub.ListModels, ranker_pb2.ListModelsRequest, deadline_s
        )
        return reply

    def get_limits(self, *, deadline_s: float = DEADLINE_S) -> types_pb2.Limits:
        """The bounds that the service enforces. Raises ServiceError."""
        reply = self._connection.call(self._stub.GetLimits, ranker_pb2.GetLimitsRequest, deadline_s)
        limits: types_pb2.Limits = reply.limits
        return limits

    def _rank_stream(
        self, candidates: Candidates, options: ranker_pb2.RankOptions, deadline_s: float
    ) -> ranker_pb2.RankResponse:
        messages = [ranker_pb2.RankStreamRequest(candidates=chunk) for chunk in chunked(candidates)]
        messages[0].options.CopyFrom(options)
        reply = self._connection.call(self._stub.RankStream, lambda: iter(messages), deadline_s)
        ranking: ranker_pb2.RankResponse = reply.ranking
        return ranking
