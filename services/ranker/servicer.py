"""RankerService: each call holds one release from its admission to its reply.

Legend: N candidates that have a score, E embedding components.
"""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from inference.release import ReleaseKeeper
from services.ranker import wire
from services.ranker.candidates import Candidate, Featured, Gathering
from services.ranker.metrics import RankerMetrics
from services.ranker.models import Models
from services.ranker.ordering import pairwise, rank
from services.ranker.settings import RankerSettings
from services.runtime.context import note
from services.runtime.limits import to_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Candidates with their scores, shape (N,), embeddings, shape (N, E), and uncertainties, where stated."""

    candidates: Sequence[Featured]
    scores: np.ndarray
    embeddings: np.ndarray
    uncertainties: np.ndarray | None

    def uncertainty(self, row: int) -> float | None:
        """That of one score; None from a head that states none."""
        return None if self.uncertainties is None else float(self.uncertainties[row])


class RankerServicer(ranker_pb2_grpc.RankerServiceServicer):
    """Answers with the release that the keeper has when a call comes in."""

    def __init__(
        self,
        keeper: ReleaseKeeper[Models],
        compute: Executor,
        settings: RankerSettings,
        metrics: RankerMetrics,
    ) -> None:
        self._keeper = keeper
        self._compute = compute
        self._settings = settings
        self._metrics = metrics

    async def Rank(self, request: ranker_pb2.RankRequest, context: Any) -> ranker_pb2.RankResponse:
        """Candidates from best to worst."""
        wire.check_options(request.options)
        wire.check_pairwise(request.options, len(request.candidates))
        with self._keeper.hold() as release:
            gathering = _gathering(release.value, no_store=request.options.no_store)
            read, options = await self._read(gathering, request.candidates), _options(request)
            del request  # as large as what was read out of it, and nobody else has it
            await gathering.add(read)
            return await self._ranking(release.value, gathering, options)

    async def RankStream(
        self, requests: AsyncIterator[ranker_pb2.RankStreamRequest], context: Any
    ) -> ranker_pb2.RankStreamResponse:
        """Candidates of several messages from best to worst; each is embedded before the next is read."""
        first = await anext(requests, ranker_pb2.RankStreamRequest())
        wire.check_options(first.options)
        with self._keeper.hold() as release:
            gathering = _gathering(release.value, no_store=first.options.no_store, bulk=True)
            await gathering.add(await self._read(gathering, first.candidates))
            async for message in requests:
                await gathering.add(await self._read(gathering, message.candidates))
                wire.check_pairwise(first.options, gathering.count)
            ranking = await self._ranking(release.value, gathering, first.options)
        return ranker_pb2.RankStreamResponse(ranking=ranking)

    async def Compare(self, request: ranker_pb2.CompareRequest, context: Any) -> ranker_pb2.CompareResponse:
        """P(a better than b) and what it comes to; fails when either cannot be judged."""
        wire.check_probability(request)
        options = ranker_pb2.CompareRequest(
            min_probability=request.min_probability if request.HasField("min_probability") else None
        )
        with self._keeper.hold() as release:
            models = release.value
            gathering = _gathering(models, no_store=request.no_store)
            read = await self._read(gathering, (request.candidate_a, request.candidate_b))
            del request
            await gathering.add(read)
            judged = await self._judge(models, gathering)
        if gathering.failed:
            raise wire.side_refusal(gathering.failed)
        score_a, score_b = (float(score) for score in judged.scores)
        calibration = models.head.calibration
        probability = float(pairwise(judged.scores, calibration, judged.uncertainties)[0, 1])
        tied = abs(score_a - score_b) <= calibration.tie_margin
        return ranker_pb2.CompareResponse(
            probability_a_better=probability,
            score_a=score_a,
            score_b=score_b,
            tied=tied,
            verdict=wire.verdict(probability, tied=tied, request=options),
            uncertainty_a=judged.uncertainty(0),
            uncertainty_b=judged.uncertainty(1),
            models=wire.identities(models.head, models.backbone.version),
            timings=wire.timings(gathering.spent_ms),
        )

    async def Score(self, request: ranker_pb2.ScoreRequest, context: Any) -> ranker_pb2.ScoreResponse:
        """Scores in the order of the request, without ordering."""
        with self._keeper.hold() as release:
            models = release.value
            gathering = _gathering(models, no_store=request.no_store)
            read, include = await self._read(gathering, request.candidates), request.include_embeddings
            del request
            await gathering.add(read)
            judged = await self._judge_some(models, gathering)
        embeddings = judged.embeddings if include else [None] * len(judged.scores)
        return ranker_pb2.ScoreResponse(
            scores=[
                wire.candidate_score(candidate, float(score), judged.uncertainty(row), models.head, embedding)
                for row, (candidate, score, embedding) in enumerate(
                    zip(judged.candidates, judged.scores, embeddings, strict=True)
                )
            ],
            errors=wire.item_errors(gathering.failed),
            models=wire.identities(models.head, models.backbone.version),
            timings=wire.timings(gathering.spent_ms),
        )

    async def ListModels(
        self, request: ranker_pb2.ListModelsRequest, context: Any
    ) -> ranker_pb2.ListModelsResponse:
        """The followed head and the backbone that it pins."""
        status, alias = self._keeper.status, self._settings.ranker_alias
        if status.version is None:
            absent = wire.absent_head(self._settings.ranker_model, alias, status)
            return ranker_pb2.ListModelsResponse(models=[absent])
        with self._keeper.hold() as release:
            head, backbone = release.value.head, release.value.backbone
            models = [
                wire.served_head(head, alias, status),
                wire.served_backbone(backbone.version, backbone.served),
            ]
        return ranker_pb2.ListModelsResponse(models=models)

    async def GetLimits(
        self, request: ranker_pb2.GetLimitsRequest, context: Any
    ) -> ranker_pb2.GetLimitsResponse:
        """The bounds that this service enforces."""
        settings = self._settings
        return ranker_pb2.GetLimitsResponse(limits=to_message(settings.limits, settings.default_deadline_s))

    async def _read(self, gathering: Gathering, messages: Sequence[ranker_pb2.Candidate]) -> list[Candidate]:
        # On a thread: hashing 64 MiB would hold up every other call.
        read = partial(wire.read_candidates, messages, self._settings.limits, gathering.ids, gathering.count)
        return await asyncio.get_running_loop().run_in_executor(self._compute, read)

    async def _ranking(
        self, models: Models, gathering: Gathering, options: ranker_pb2.RankOptions
    ) -> ranker_pb2.RankResponse:
        judged = await self._judge_some(models, gathering)
        margin, calibration = wire.tie_margin(options, models.head), models.head.calibration
        placed = rank(
            judged.scores,
            [candidate.key for candidate in judged.candidates],
            tie_margin=margin,
            calibration=calibration,
            uncertainty_N=judged.uncertainties,
        )
        response = ranker_pb2.RankResponse(
            placements=[
                wire.placement(
                    one, judged.candidates[one.position], judged.uncertainty(one.position), options
                )
                for one in placed
            ],
            errors=wire.item_errors(gathering.failed),
            models=wire.identities(models.head, models.backbone.version),
            tie_margin=margin,
            temperature=calibration.temperature,
            uncertainty_weight=calibration.uncertainty_weight,
            timings=wire.timings(gathering.spent_ms),
        )
        if options.include_pairwise:
            order = [one.position for one in placed]
            uncertainty_N = None if judged.uncertainties is None else judged.uncertainties[order]
            matrix_NN = pairwise(judged.scores[order], calibration, uncertainty_N)
            response.pairwise_probabilities.extend(matrix_NN.ravel().tolist())
        return response

    async def _judge_some(self, models: Models, gathering: Gathering) -> Judged:
        """As `_judge`. Raises ServiceError: the first candidate's, when none can be judged or none came."""
        wire.check_some(gathering.count, self._settings.limits)
        judged = await self._judge(models, gathering)
        if not judged.candidates:
            raise wire.refusal(gathering.failed)
        return judged

    async def _judge(self, models: Models, gathering: Gathering) -> Judged:
        """What the head says of the gathered candidates; bad outputs join the failed ones."""
        if not gathering.featured:
            _note(gathering)
            return Judged(candidates=(), scores=np.empty(0), embeddings=np.empty((0, 0)), uncertainties=None)
        candidates = sorted(gathering.featured, key=lambda candidate: candidate.index)
        started = time.perf_counter()
        feature_ND = np.stack([candidate.feature for candidate in candidates])
        found = await asyncio.get_running_loop().run_in_executor(self._compute, models.head.judge, feature_ND)
        seconds = time.perf_counter() - started
        self._metrics.judged(len(candidates), seconds)
        self._metrics.bad_outputs(models.head.version.name, len(found.bad))
        gathering.spend({"compute_ms": seconds * 1_000})
        _note(gathering)
        for row, error in found.bad.items():
            gathering.fail(candidates[row].index, candidates[row].id, wire.bad_output(error))
        good = [row for row in range(len(candidates)) if row not in found.bad]
        return Judged(
            candidates=[candidates[row] for row in good],
            scores=found.scores[good],
            embeddings=found.embeddings[good],
            uncertainties=None if found.uncertainties is None else found.uncertainties[good],
        )


def _note(gathering: Gathering) -> None:
    spent_ms = {stage: round(ms, 1) for stage, ms in gathering.spent_ms.items()}
    note(**spent_ms, candidates=len(gathering.featured), failed=len(gathering.failed))


def _options(request: ranker_pb2.RankRequest) -> ranker_pb2.RankOptions:
    """The options by themselves: those in the request would keep all of it."""
    options = ranker_pb2.RankOptions()
    options.CopyFrom(request.options)
    return options


def _gathering(models: Models, *, no_store: bool, bulk: bool = False) -> Gathering:
    return Gathering(models.head, partial(models.backbone.embed, no_store=no_store, bulk=bulk))
