"""RankerService: each call holds one release from its admission to its reply.

Legend: N candidates that have a score, D feature components.
"""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

import numpy as np
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

from inference.errors import BadOutput
from inference.release import ReleaseKeeper
from services.client.embedder import AsyncEmbedderClient
from services.messages.replies import StageTimes, all_failed, write_absent_model
from services.ranker import wire
from services.ranker.candidates import Candidate, CandidateSet, FeaturedCandidate, ScoredCandidates
from services.ranker.models import RankerModels
from services.ranker.ordering import pairwise, rank
from services.ranker.settings import RankerSettings
from services.runtime.admission.work_queue import AdmittedWork, WorkQueue
from services.runtime.context import present_call
from services.runtime.errors import to_service_error
from services.runtime.limits import to_message

_INLINE_BYTES: Final = 1 << 18  # hashed faster than another thread is woken
_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class RankerServicer(ranker_pb2_grpc.RankerServiceServicer):
    """Answers with the release that the keeper has when a call comes in."""

    def __init__(
        self,
        keeper: ReleaseKeeper[RankerModels],
        embedder: AsyncEmbedderClient,
        compute: Executor,
        settings: RankerSettings,
        registry: CollectorRegistry,
    ) -> None:
        self._keeper = keeper
        self._embedder = embedder
        self._compute = compute
        self._settings = settings
        self._work = WorkQueue(settings.ranker_queue_s, registry)
        self._judged_counts = Histogram(
            "atelier_judged_candidates", "Candidates judged at once.", buckets=_COUNTS, registry=registry
        )
        self._head_seconds = Histogram(
            "atelier_head_run_seconds", "Time to judge them.", buckets=_SECONDS, registry=registry
        )
        self._bad_outputs = Counter(
            "atelier_bad_outputs",
            "Scores withheld as not finite or out of norm.",
            ("model",),
            registry=registry,
        )

    async def Rank(self, request: ranker_pb2.RankRequest, context: Any) -> ranker_pb2.RankResponse:
        """Candidates from best to worst."""
        options = wire.read_options(request.options)
        wire.check_pairwise(options, len(request.candidates))
        with self._keeper.hold() as release, self._admit(request.candidates) as work:
            candidates = self._candidates(release.value, work, no_store=options.no_store)
            read = await self._read(request.candidates, candidates)
            del request  # as large as what was read out of it, and nothing else needs it
            await candidates.add(read)
            return await self._ranking(candidates, release.value, options)

    async def RankStream(
        self, requests: AsyncIterator[ranker_pb2.RankStreamRequest], context: Any
    ) -> ranker_pb2.RankStreamResponse:
        """Candidates of several messages from best to worst; each is embedded before the next is read."""
        first = await anext(requests, ranker_pb2.RankStreamRequest())
        options = wire.read_options(first.options)
        with self._keeper.hold() as release, self._work.admit(0, math.inf) as work:
            candidates = self._candidates(release.value, work, no_store=options.no_store, bulk=True)
            await candidates.add(await self._read(first.candidates, candidates))
            async for message in requests:
                await candidates.add(await self._read(message.candidates, candidates))
                wire.check_pairwise(options, candidates.count)
            ranking = await self._ranking(candidates, release.value, options)
        return ranker_pb2.RankStreamResponse(ranking=ranking)

    async def Compare(self, request: ranker_pb2.CompareRequest, context: Any) -> ranker_pb2.CompareResponse:
        """P(a better than b) and the verdict; fails when either cannot be judged."""
        min_probability = wire.read_min_probability(request)
        sides = (request.candidate_a, request.candidate_b)
        with self._keeper.hold() as release, self._admit(sides) as work:
            models = release.value
            candidates = self._candidates(models, work, no_store=request.no_store)
            read = await self._read(sides, candidates)
            del sides
            del request
            await candidates.add(read)
            scored = await self._score(candidates, models)
        if scored.failed:
            raise wire.side_failed(scored.failed)
        matrix_NN = pairwise(scored.score_N, models.head.calibration, scored.uncertainty_N)
        return wire.write_comparison(scored, float(matrix_NN[0, 1]), min_probability, models)

    async def Score(self, request: ranker_pb2.ScoreRequest, context: Any) -> ranker_pb2.ScoreResponse:
        """Scores in the order of the request, without ordering."""
        with self._keeper.hold() as release, self._admit(request.candidates) as work:
            candidates = self._candidates(release.value, work, no_store=request.no_store)
            read, include = await self._read(request.candidates, candidates), request.include_embeddings
            del request
            await candidates.add(read)
            scored = await self._score_some(candidates, release.value)
            return wire.write_scores(scored, release.value, include_embeddings=include)

    async def ListModels(
        self, request: ranker_pb2.ListModelsRequest, context: Any
    ) -> ranker_pb2.ListModelsResponse:
        """The followed head and the backbone that it pins."""
        status, settings = self._keeper.status, self._settings
        if status.version is None:
            absent = write_absent_model(settings.ranker_model, settings.ranker_alias, status)
            return ranker_pb2.ListModelsResponse(models=[absent])
        with self._keeper.hold() as release:
            models = release.value
            head = wire.write_head(models.head, settings.ranker_alias, status)
            backbone = wire.write_backbone(models.backbone, self._embedder.served(models.backbone.space_id))
        return ranker_pb2.ListModelsResponse(models=[head, backbone])

    async def GetLimits(
        self, request: ranker_pb2.GetLimitsRequest, context: Any
    ) -> ranker_pb2.GetLimitsResponse:
        """The bounds that this service enforces."""
        settings = self._settings
        return ranker_pb2.GetLimitsResponse(limits=to_message(settings.limits, settings.default_deadline_s))

    def _candidates(
        self, models: RankerModels, work: AdmittedWork, *, no_store: bool, bulk: bool = False
    ) -> CandidateSet:
        embed = partial(self._embedder.pictures, version=models.backbone, no_store=no_store, bulk=bulk)
        return CandidateSet(models.head, embed, work, None if no_store else models.judged)

    def _admit(self, messages: Sequence[ranker_pb2.Candidate]) -> AdmittedWork:
        """The work of a request: of a small one none, it is done while others are counted.

        Raises ResourceExhausted: if it would be late.
        """
        call = present_call()
        assert call is not None
        cost = 0 if call.message_bytes <= _INLINE_BYTES else wire.component_count(messages)
        return self._work.admit(cost, call.remaining_s)

    async def _read(self, messages: Sequence[ranker_pb2.Candidate], earlier: CandidateSet) -> list[Candidate]:
        call, limits = present_call(), self._settings.limits
        assert call is not None
        byte_count = call.message_bytes
        read = partial(wire.read_candidates, messages, limits, earlier.ids, earlier.count, byte_count)
        if byte_count <= _INLINE_BYTES:
            return read()
        # On a thread: hashing 64 MiB would hold up every other call.
        reading = partial(asyncio.get_running_loop().run_in_executor, self._compute, read)
        cost = wire.component_count(messages)
        if not cost:
            return await reading()
        async with earlier.work.turn(cost):
            return await reading()

    async def _ranking(
        self, candidates: CandidateSet, models: RankerModels, options: wire.RankOptions
    ) -> ranker_pb2.RankResponse:
        scored = await self._score_some(candidates, models)
        calibration, uncertainty_N = models.head.calibration, scored.uncertainty_N
        placements = rank(
            scored.score_N,
            [candidate.key for candidate in scored.candidates],
            tie_margin=options.margin(calibration),
            calibration=calibration,
            uncertainty_N=uncertainty_N,
        )
        response = wire.write_ranking(scored, placements, options, models)
        if options.include_pairwise:
            order = [placement.position for placement in placements]
            ordered_N = None if uncertainty_N is None else uncertainty_N[order]
            matrix_NN = pairwise(scored.score_N[order], calibration, ordered_N)
            response.pairwise_probabilities.extend(matrix_NN.ravel().tolist())
        return response

    async def _score_some(self, candidates: CandidateSet, models: RankerModels) -> ScoredCandidates:
        """As `_score`. Raises ServiceError: the first candidate's, when none can be judged or none came."""
        wire.check_some(candidates.count, self._settings.limits)
        scored = await self._score(candidates, models)
        if not scored.candidates:
            raise all_failed(scored.failed, "candidate")
        return scored

    async def _score(self, candidates: CandidateSet, models: RankerModels) -> ScoredCandidates:
        """The head's scores in the order of the request; a candidate with a bad output counts as failed."""
        featured = sorted(candidates.featured, key=lambda candidate: candidate.index)
        outputs = await self._judge([c for c in featured if c.feature_D is not None], models, candidates)
        outputs |= {c.index: c.output_R for c in featured if c.output_R is not None}
        candidates.times.note(candidates=len(featured), failed=len(candidates.failed))
        good, outputs_R = [], []
        for candidate in featured:
            output_R = outputs[candidate.index]
            if isinstance(output_R, Exception):
                candidates.fail(candidate, to_service_error(output_R, wire.ERRORS))
            else:
                good.append(candidate)
                outputs_R.append(output_R)
        return ScoredCandidates.of(good, outputs_R, candidates, has_uncertainty=models.head.has_uncertainty)

    async def _judge(
        self, featured: Sequence[FeaturedCandidate], models: RankerModels, candidates: CandidateSet
    ) -> dict[int, np.ndarray | Exception]:
        """The head's output (R,) by the candidate's index, or what is wrong with it; good ones are kept."""
        if not featured:
            return {}
        head, started = models.head, time.perf_counter()
        feature_ND = np.stack([c.feature_D for c in featured if c.feature_D is not None])
        if head.judges_at_once(len(featured)):
            judgement = head.judge(feature_ND)
        else:
            async with candidates.work.turn(feature_ND.size, finishes=True):
                loop = asyncio.get_running_loop()
                judgement = await loop.run_in_executor(self._compute, head.judge, feature_ND)
        seconds = time.perf_counter() - started
        candidates.times += StageTimes(compute_ms=seconds * 1_000)
        self._judged_counts.observe(len(featured))
        self._head_seconds.observe(seconds)
        bad = {row: featured[row].blame(error, models.backbone) for row, error in judgement.bad.items()}
        if withheld := sum(isinstance(error, BadOutput) for error in bad.values()):
            self._bad_outputs.labels(head.version.name).inc(withheld)
        good = [row for row in range(len(featured)) if row not in bad]
        candidates.remember(
            {featured[row].picture: judgement.output_NR[row] for row in good if featured[row].picture}
        )
        return {c.index: bad.get(row) or judgement.output_NR[row] for row, c in enumerate(featured)}
