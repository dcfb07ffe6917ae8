"""The ranker's calls, through a real server on a free port."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.client.ranker import feature, picture

from .conftest import EMBEDDING, WIDTH, Gallery, Ranking, Serve, expected_score, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs

PICTURES = [f"picture {n}".encode() for n in range(40)]
MARGIN, TEMPERATURE = 0.25, 0.5


def pictures(*numbers: int) -> list[ranker_pb2.Candidate]:
    return [picture(PICTURES[n], f"p{n}") for n in numbers]


def scores(*numbers: int) -> np.ndarray:
    return expected_score(1, np.stack([vector_of(PICTURES[n]) for n in numbers]))


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, status_pb2.Status]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailer = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    return caught.value.code(), caught.value.details(), status


def unpacked(status: status_pb2.Status, kind: Any) -> list[Any]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def ask(serve: Serve, question: Callable[[Ranking], Awaitable[Any]], **changes: Any) -> Any:
    async def scenario() -> Any:
        async with serve(**changes) as it:
            return await question(it)

    return asyncio.run(scenario())


def test_rank_orders_pictures_by_the_heads_score(serve: Serve, gallery: Gallery) -> None:
    """Best first, with places, groups, probabilities and the models that made them (S-2)."""
    request = ranker_pb2.RankRequest(
        candidates=pictures(*range(12)), options=ranker_pb2.RankOptions(include_pairwise=True)
    )

    async def question(it: Ranking) -> Any:
        it.embedder.delay_s = 0.05
        return await it.stub.Rank(request)

    reply = ask(serve, question)

    expected = scores(*range(12))
    order = np.argsort(-expected)
    assert [p.index for p in reply.placements] == order.tolist()
    assert [p.id for p in reply.placements] == [f"p{n}" for n in order]
    assert [p.score for p in reply.placements] == pytest.approx(expected[order].tolist(), abs=1e-5)
    assert (reply.tie_margin, reply.temperature) == (MARGIN, TEMPERATURE)
    assert not reply.placements[-1].HasField("probability_over_next")
    first, second = reply.placements[:2]
    probability = 1 / (1 + math.exp(-(first.score - second.score) / TEMPERATURE))
    assert first.probability_over_next == pytest.approx(probability)
    matrix_NN = np.array(reply.pairwise_probabilities).reshape(12, 12)
    assert matrix_NN[0, 1] == pytest.approx(probability)
    assert matrix_NN + matrix_NN.T == pytest.approx(np.ones((12, 12)))
    head, backbone = gallery.heads[0], gallery.backbone
    assert [(m.name, m.version, m.digest, m.space_id, m.trained) for m in reply.models] == [
        ("artwork-head", 1, head.digest, head.space_id, True),
        ("artwork-backbone", 1, backbone.digest, backbone.space_id, True),
    ]
    assert (reply.timings.queue_ms, reply.timings.decode_ms) == (1.0, 2.0)
    assert reply.timings.compute_ms > 3.0
    # Beyond the 6 ms that the embedder accounts for itself.
    assert reply.timings.hop_ms >= 50 - 6


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_the_answer_depends_on_neither_order_nor_batch_mates(shared: Any, seed: int) -> None:
    """A shuffled part of the candidates keeps its scores, bit for bit, and its order within the whole."""
    runner, it, space_id, whole = shared
    chance = random.Random(seed)
    numbers = chance.sample(range(40), chance.randint(1, 40))
    candidates = [
        picture(PICTURES[n], f"p{n}")
        if chance.random() < 0.5
        else feature(space_id, vector_of(PICTURES[n]).tolist(), f"p{n}")
        for n in numbers
    ]

    part = runner.run(rank(it, candidates))

    known = {p.id: p.score for p in whole.placements}
    assert {p.id: p.score for p in part.placements} == {f"p{n}": known[f"p{n}"] for n in numbers}
    assert [p.id for p in part.placements] == [p.id for p in whole.placements if int(p.id[1:]) in numbers]


@pytest.fixture
def shared(serve: Serve, gallery: Gallery) -> Any:
    """One ranker for many examples, and its answer to all forty pictures."""
    with asyncio.Runner() as runner:
        context = serve()
        it = runner.run(context.__aenter__())
        yield runner, it, gallery.backbone.space_id, runner.run(rank(it, pictures(*range(40))))
        runner.run(context.__aexit__(None, None, None))


async def rank(it: Ranking, candidates: list[ranker_pb2.Candidate]) -> ranker_pb2.RankResponse:
    return await it.stub.Rank(ranker_pb2.RankRequest(candidates=candidates))


def test_equal_pictures_are_embedded_once(serve: Serve) -> None:
    """Ten candidates of two pictures cost two encodes, and equal ones tie."""
    candidates = [picture(PICTURES[n % 2], f"c{n}") for n in range(10)]

    async def question(it: Ranking) -> Any:
        return await it.stub.Rank(ranker_pb2.RankRequest(candidates=candidates)), it.embedder.calls

    reply, calls = ask(serve, question, keep_alive_s=60)

    assert [len(call.inputs) for call in calls] == [2]
    assert [p.tie_group for p in reply.placements] in ([1] * 5 + [2] * 5, [1] * 10)
    assert [p.id for p in reply.placements][:5] in (
        [f"c{n}" for n in (0, 2, 4, 6, 8)],
        [f"c{n}" for n in (1, 3, 5, 7, 9)],
    )


def test_known_pictures_need_no_embedder(serve: Serve, gallery: Gallery) -> None:
    """The second answer has the bits and models of the first; neither embedder nor head ran (A-15, S-2)."""
    first, mixed = pictures(0, 1), [*pictures(1, 2), picture(b"bad", "torn")]
    request = ranker_pb2.ScoreRequest(candidates=first, include_embeddings=True)

    async def question(it: Ranking) -> Any:
        replies = [await it.stub.Score(request) for _ in range(2)]
        return *replies, await rank(it, mixed), await rank(it, mixed[2:] + mixed[:2]), it.embedder.calls

    before, after, part, again, calls = ask(serve, question)

    assert list(after.scores) == list(before.scores)
    assert list(after.models) == list(before.models)
    assert (after.timings.compute_ms, after.timings.hop_ms) == (0, 0)
    assert [[item.image for item in call.inputs] for call in calls] == [
        [PICTURES[0], PICTURES[1]],
        [PICTURES[2], b"bad"],
        [b"bad"],
    ]
    assert {(p.id, p.score) for p in part.placements} == {(p.id, p.score) for p in again.placements}
    assert [(error.id, error.index) for error in again.errors] == [("torn", 0)]


@pytest.mark.parametrize(("recent_bytes", "no_store"), [(0, False), (1 << 20, True)])
def test_a_picture_is_not_remembered_where_it_must_not_be(
    serve: Serve, recent_bytes: int, no_store: bool
) -> None:
    """With `no_store`, or a bound of 0, every call asks the embedder; a stored picture is not read either."""
    options = ranker_pb2.RankOptions(no_store=no_store)
    request = ranker_pb2.RankRequest(candidates=pictures(0), options=options)

    async def question(it: Ranking) -> Any:
        asked = [request, request, ranker_pb2.RankRequest(candidates=pictures(0)), request]
        return [await it.stub.Rank(message) for message in asked], len(it.embedder.calls)

    replies, count = ask(serve, question, ranker_recent_bytes=recent_bytes)

    assert count == 4
    assert len({reply.placements[0].score for reply in replies}) == 1


def test_an_output_that_is_withheld_is_never_remembered(serve: Serve) -> None:
    """An output out of norm is BAD_OUTPUT at each call, and the embedder is asked each time (S-9)."""

    async def question(it: Ranking) -> Any:
        return [await refused(rank(it, [picture(b"wild")])) for _ in range(2)], len(it.embedder.calls)

    answers, count = ask(serve, question)

    reasons = [unpacked(status, error_details_pb2.ErrorInfo)[0].reason for _, _, status in answers]
    assert reasons == ["BAD_OUTPUT"] * 2
    assert count == 2


def test_a_stream_embeds_equal_pictures_once_over_all_its_messages(serve: Serve) -> None:
    """What an earlier message brought is not encoded again."""
    messages = [
        ranker_pb2.RankStreamRequest(candidates=[picture(PICTURES[n], f"{m} {n}") for n in (m, m + 1)])
        for m in range(3)
    ]

    async def question(it: Ranking) -> Any:
        reply = await it.stub.RankStream(stream(*messages))
        return reply.ranking, it.embedder.calls

    ranking, calls = ask(serve, question)

    assert len(ranking.placements) == 6
    assert [len(call.inputs) for call in calls] == [2, 1, 1]


def test_bad_candidates_fail_alone(serve: Serve, gallery: Gallery) -> None:
    """Each has its index, id, code and reason; the others are placed (S-5)."""
    space_id = gallery.backbone.space_id
    candidates = [
        picture(b"bad jpeg", "torn"),
        picture(PICTURES[1], "good"),
        ranker_pb2.Candidate(id="empty"),
        feature("c" * 64, [0.0] * WIDTH, "strange"),
        feature(space_id, [0.0] * 3, "short"),
        feature(space_id, [math.nan] * WIDTH, "nan"),
        feature("", [0.0] * WIDTH, "nowhere"),
        feature(space_id, [1e6] * WIDTH, "wild"),
        picture(bytes(10 * (1 << 20) + 1), "huge"),
        feature("b" * 64, [0.1] * WIDTH, "accepted"),
    ]

    reply = ask(serve, lambda it: it.stub.Rank(ranker_pb2.RankRequest(candidates=candidates)))

    assert {p.id for p in reply.placements} == {"good", "accepted"}
    told = {
        error.id: (
            error.index,
            error.status.code,
            unpacked(error.status, error_details_pb2.ErrorInfo)[0].reason,
        )
        for error in reply.errors
    }
    assert told == {
        "torn": (0, code_pb2.INVALID_ARGUMENT, "INVALID_IMAGE"),
        "empty": (2, code_pb2.INVALID_ARGUMENT, "NO_CONTENT"),
        "strange": (3, code_pb2.FAILED_PRECONDITION, "WRONG_SPACE"),
        "short": (4, code_pb2.INVALID_ARGUMENT, "WRONG_DIMENSION"),
        "nan": (5, code_pb2.INVALID_ARGUMENT, "NOT_FINITE"),
        "nowhere": (6, code_pb2.INVALID_ARGUMENT, "NO_SPACE"),
        "wild": (7, code_pb2.INVALID_ARGUMENT, "FEATURE_OUT_OF_RANGE"),
        "huge": (8, code_pb2.INVALID_ARGUMENT, "IMAGE_TOO_LARGE"),
    }
    assert [error.index for error in reply.errors] == sorted(error.index for error in reply.errors)
    messages = {error.id: error.status.message for error in reply.errors}
    assert "3 components" in messages["short"]
    assert "takes 16" in messages["short"]
    assert "10485761" in messages["huge"]


@pytest.mark.parametrize("number", [3.4e38, -3.4e38, 1e30])
def test_a_finite_feature_that_no_backbone_makes_is_the_callers_error(
    serve: Serve, gallery: Gallery, number: float
) -> None:
    """Numbers at the end of float32: INVALID_ARGUMENT naming both norms, and no bad output is counted; a
    head's bad output for a feature within the norms is still BAD_OUTPUT (S-5, S-9)."""
    wild = feature(gallery.backbone.space_id, [number] * WIDTH, "wild")

    async def question(it: Ranking) -> Any:
        errors = [await refused(rank(it, [wild])), await refused(rank(it, [picture(b"wild")]))]
        registry = it.server.registry
        return errors, registry.get_sample_value("atelier_bad_outputs_total", {"model": "artwork-head"})

    ((code, text, _), (other, _, _)), counted = ask(serve, question)

    assert (code, other) == (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)
    assert "artwork-backbone/1 have 0 to 100" in text
    assert counted == 1


def test_a_feature_that_is_not_finite_fails_alone(serve: Serve) -> None:
    """A NaN from the embedder is that candidate's INTERNAL error; it never reaches the head (S-9)."""
    request = ranker_pb2.RankRequest(candidates=[picture(b"nan", "sick"), picture(PICTURES[0], "well")])

    reply = ask(serve, lambda it: it.stub.Rank(request))

    assert [placement.id for placement in reply.placements] == ["well"]
    (error,) = reply.errors
    assert (error.id, error.status.code) == ("sick", code_pb2.INTERNAL)
    assert unpacked(error.status, error_details_pb2.ErrorInfo)[0].reason == "BAD_OUTPUT"


def test_when_all_are_bad_the_call_fails_with_every_item(serve: Serve, gallery: Gallery) -> None:
    """The first one's code and reason; the failures of all inside (S-5)."""
    candidates = [
        feature("c" * 64, [0.0] * WIDTH, "strange"),
        picture(b"bad one", "torn"),
        picture(b"bad two"),
    ]

    code, text, status = ask(
        serve, lambda it: refused(it.stub.Rank(ranker_pb2.RankRequest(candidates=candidates)))
    )

    items = unpacked(status, types_pb2.ItemError)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert text.startswith(
        "all 3 candidates failed; candidate 0 ('strange'): feature.space_id is cccccccccccc"
    )
    assert [(item.index, item.id, item.status.code) for item in items] == [
        (0, "strange", 9),
        (1, "torn", 3),
        (2, "", 3),
    ]


WRONG: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"candidates": []}, ("0 candidates", "1 to 1000")),
    ({"candidates": [feature("a" * 64, [0.0])] * 1_001}, ("1001", "1000")),
    ({"candidates": [feature("a" * 64, [0.0])] * 10_000}, ("10000", "1000")),
    ({"candidates": [picture(b"x")] * 129}, ("129", "128", "RankStream")),
    ({"candidates": [picture(bytes(8_400_000))] * 8}, ("67200", "67108864", "RankStream")),
    ({"candidates": [picture(b"x", "a"), picture(b"y", "a")]}, ("candidate 1", "'a'")),
    (
        {"candidates": [picture(b"x")], "options": ranker_pb2.RankOptions(tie_margin=-1)},
        ("tie_margin is -1",),
    ),
    (
        {"candidates": [picture(b"x")], "options": ranker_pb2.RankOptions(tie_margin=math.nan)},
        ("tie_margin is nan",),
    ),
    (
        {
            "candidates": [feature("a" * 64, [0.0])] * 129,
            "options": ranker_pb2.RankOptions(include_pairwise=True),
        },
        ("129", "128", "include_pairwise"),
    ),
]


def test_a_request_out_of_bounds_is_refused_by_name(serve: Serve) -> None:
    """Both numbers, or the field, are in the message; nothing is embedded (S-5)."""

    async def question(it: Ranking) -> Any:
        answers = [await refused(it.stub.Rank(ranker_pb2.RankRequest(**fields))) for fields, _ in WRONG]
        return answers, it.embedder.calls

    answers, calls = ask(serve, question)

    for (code, text, _), (_, words) in zip(answers, WRONG, strict=True):
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert all(word in text for word in words), text
    assert calls == []


def stream(*messages: ranker_pb2.RankStreamRequest) -> AsyncIterator[ranker_pb2.RankStreamRequest]:
    async def requests() -> AsyncIterator[ranker_pb2.RankStreamRequest]:
        for message in messages:
            yield message

    return requests()


def test_a_stream_ranks_as_one_message_would(serve: Serve) -> None:
    """Several messages give one order; options come from the first; pictures join the bulk queue."""
    parts = [range(15), range(15, 16), range(16, 40)]
    options = ranker_pb2.RankOptions(tie_margin=0.5, no_store=True)

    async def question(it: Ranking) -> Any:
        whole = await it.stub.Rank(ranker_pb2.RankRequest(candidates=pictures(*range(40)), options=options))
        messages = [ranker_pb2.RankStreamRequest(candidates=pictures(*part)) for part in parts]
        messages[0].options.CopyFrom(options)
        messages[1].options.tie_margin = 7.0
        streamed = await it.stub.RankStream(stream(*messages))
        return whole, streamed.ranking, it.embedder.calls

    whole, streamed, calls = ask(serve, question)

    assert list(streamed.placements) == list(whole.placements)
    assert streamed.tie_margin == 0.5
    assert [len(call.inputs) for call in calls] == [40, 15, 1, 24]
    assert [call.priority for call in calls] == [embedder_pb2.PRIORITY_INTERACTIVE] + [
        embedder_pb2.PRIORITY_BULK
    ] * 3
    assert all(call.no_store for call in calls)


def test_the_first_message_of_a_stream_may_bring_the_options_alone(serve: Serve) -> None:
    """The options hold for the candidates of later messages; empty messages between them change nothing."""
    options = ranker_pb2.RankOptions(tie_margin=1e6)
    messages = [
        ranker_pb2.RankStreamRequest(options=options),
        ranker_pb2.RankStreamRequest(candidates=pictures(0, 1)),
        ranker_pb2.RankStreamRequest(),
        ranker_pb2.RankStreamRequest(candidates=pictures(2)),
    ]

    async def question(it: Ranking) -> Any:
        reply = await it.stub.RankStream(stream(*messages))
        return reply.ranking, await refused(it.stub.RankStream(stream(messages[0])))

    ranking, (code, text, _) = ask(serve, question)

    assert [placement.place for placement in ranking.placements] == [1, 1, 1]
    assert (code, "0 candidates" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_a_stream_keeps_the_bounds_over_all_its_messages(serve: Serve) -> None:
    """1,000 candidates in all, ids once in all, 128 pictures a message, and never none (S-5)."""
    many = [feature("a" * 64, [0.0])] * 501

    def message(candidates: list[ranker_pb2.Candidate]) -> ranker_pb2.RankStreamRequest:
        return ranker_pb2.RankStreamRequest(candidates=candidates)

    async def question(it: Ranking) -> list[str]:
        wrong = (
            stream(),
            stream(message(many), message(many)),
            stream(message(pictures(1)), message(pictures(2, 1))),
            stream(message([picture(b"x")] * 129)),
        )
        return [(await refused(it.stub.RankStream(requests)))[1] for requests in wrong]

    none, too_many, twice, too_large = ask(serve, question)

    assert "0 candidates" in none
    assert "1002 candidates" in too_many
    assert "candidate 2 has the id 'p1'" in twice
    assert "129 pictures" in too_large


def test_compare_is_the_same_from_both_sides(serve: Serve) -> None:
    """P(a better) and P(b better) are one; near scores tie by the head's margin."""

    async def question(it: Ranking) -> Any:
        pairs = [(n, n + 1) for n in range(20)]
        asked = [
            ranker_pb2.CompareRequest(candidate_a=pictures(a)[0], candidate_b=pictures(b)[0])
            for pair in pairs
            for a, b in (pair, pair[::-1])
        ]
        return [await it.stub.Compare(request) for request in asked]

    replies = ask(serve, question)

    for number, (there, back) in enumerate(zip(replies[::2], replies[1::2], strict=True)):
        score_a, score_b = scores(number, number + 1)
        assert there.score_a == pytest.approx(score_a, abs=1e-5)
        assert (there.score_a, there.score_b) == (back.score_b, back.score_a)
        expected = 1 / (1 + math.exp(-(score_a - score_b) / TEMPERATURE))
        assert there.probability_a_better == pytest.approx(expected, abs=1e-5)
        assert there.probability_a_better + back.probability_a_better == pytest.approx(1.0)
        assert there.tied == back.tied == (abs(there.score_a - there.score_b) <= MARGIN)
    assert {reply.tied for reply in replies} == {True, False}


def test_a_head_that_states_uncertainties_is_believed(serve: Serve, gallery: Gallery) -> None:
    """Every answer tells them, and probabilities are what both scores and uncertainties make them (S-2)."""
    gallery.promote(gallery.heads[1])

    async def question(it: Ranking) -> Any:
        two = ranker_pb2.CompareRequest(candidate_a=pictures(0)[0], candidate_b=pictures(1)[0])
        options = ranker_pb2.RankOptions(include_pairwise=True)
        return (
            await it.stub.Rank(ranker_pb2.RankRequest(candidates=pictures(*range(6)), options=options)),
            await it.stub.Score(ranker_pb2.ScoreRequest(candidates=pictures(*range(6)))),
            await it.stub.Compare(two),
        )

    ranking, scored, compared = ask(serve, question)

    assert ranking.uncertainty_weight == pytest.approx(0.3)
    for score in scored.scores:
        assert score.uncertainty == pytest.approx(abs(score.score))
    for this, following in zip(ranking.placements, ranking.placements[1:], strict=False):
        width = math.sqrt(TEMPERATURE**2 + 0.3 * (this.score**2 + following.score**2))
        expected = 1 / (1 + math.exp(-(this.score - following.score) / width))
        assert this.uncertainty == pytest.approx(abs(this.score))
        assert this.probability_over_next == pytest.approx(expected, abs=1e-5)
    count = len(ranking.placements)
    assert ranking.pairwise_probabilities[1] == pytest.approx(
        ranking.placements[0].probability_over_next, abs=1e-6
    )
    assert len(ranking.pairwise_probabilities) == count**2
    assert (compared.uncertainty_a, compared.uncertainty_b) == pytest.approx(
        (abs(compared.score_a), abs(compared.score_b))
    )
    width = math.sqrt(TEMPERATURE**2 + 0.3 * (compared.score_a**2 + compared.score_b**2))
    expected = 1 / (1 + math.exp(-(compared.score_a - compared.score_b) / width))
    assert compared.probability_a_better == pytest.approx(expected, abs=1e-5)


def test_a_head_that_states_no_uncertainty_has_none_told(serve: Serve) -> None:
    """Absent is not zero."""
    ranking = ask(serve, lambda it: it.stub.Rank(ranker_pb2.RankRequest(candidates=pictures(0, 1))))

    assert not any(placement.HasField("uncertainty") for placement in ranking.placements)
    assert not any(placement.abstained_over_next for placement in ranking.placements)


def test_an_order_that_is_not_sure_enough_is_not_claimed(serve: Serve) -> None:
    """Below the probability asked for, Compare abstains and Rank marks the place; the numbers stay."""
    near, least = 0.7, 0.9

    async def question(it: Ranking) -> Any:
        options = ranker_pb2.RankOptions(min_probability=near)
        request = ranker_pb2.RankRequest(candidates=pictures(*range(12)), options=options)
        pairs = [(a, b) for a in range(6) for b in range(6) if a != b]
        compared = [
            await it.stub.Compare(
                ranker_pb2.CompareRequest(
                    candidate_a=pictures(a)[0], candidate_b=pictures(b)[0], min_probability=least
                )
            )
            for a, b in pairs
        ]
        return await it.stub.Rank(request), compared

    ranking, compared = ask(serve, question)

    for placement in ranking.placements[:-1]:
        assert placement.abstained_over_next == (placement.probability_over_next < near)
    assert {placement.abstained_over_next for placement in ranking.placements[:-1]} == {True, False}
    assert not ranking.placements[-1].abstained_over_next
    for reply in compared:
        surest = max(reply.probability_a_better, 1 - reply.probability_a_better)
        if reply.tied:
            assert reply.verdict == ranker_pb2.VERDICT_TIED
        elif surest < least:
            assert reply.verdict == ranker_pb2.VERDICT_ABSTAINED
        else:
            won = reply.score_a > reply.score_b
            assert reply.verdict == (ranker_pb2.VERDICT_A_BETTER if won else ranker_pb2.VERDICT_B_BETTER)
    assert {reply.verdict for reply in compared} == {
        ranker_pb2.VERDICT_TIED,
        ranker_pb2.VERDICT_ABSTAINED,
        ranker_pb2.VERDICT_A_BETTER,
        ranker_pb2.VERDICT_B_BETTER,
    }


@pytest.mark.parametrize("least", [0.49, 1.01, math.nan, -1.0])
def test_a_probability_out_of_range_is_refused(serve: Serve, least: float) -> None:
    """Less than a coin is no bound, more than certain no probability."""
    two = pictures(0, 1)

    async def question(it: Ranking) -> Any:
        options = ranker_pb2.RankOptions(min_probability=least)
        return [
            await refused(it.stub.Rank(ranker_pb2.RankRequest(candidates=two, options=options))),
            await refused(
                it.stub.Compare(
                    ranker_pb2.CompareRequest(candidate_a=two[0], candidate_b=two[1], min_probability=least)
                )
            ),
        ]

    for code, text, _ in ask(serve, question):
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "min_probability" in text


def test_compare_fails_when_either_side_cannot_be_read(serve: Serve) -> None:
    """The message names the side (S-5)."""
    good, bad = picture(PICTURES[0]), picture(b"bad")

    async def question(it: Ranking) -> Any:
        sides = [(bad, good), (good, bad), (good, ranker_pb2.Candidate())]
        return [
            await refused(it.stub.Compare(ranker_pb2.CompareRequest(candidate_a=a, candidate_b=b)))
            for a, b in sides
        ]

    answers = ask(serve, question)

    assert [text for _, text, _ in answers] == [
        "candidate_a: the picture is truncated",
        "candidate_b: the picture is truncated",
        "candidate_b: the candidate has no content: give image or feature",
    ]
    assert {code for code, _, _ in answers} == {grpc.StatusCode.INVALID_ARGUMENT}


def test_score_keeps_the_order_of_the_request(serve: Serve, gallery: Gallery) -> None:
    """Scores come as the candidates did, without those that failed; embeddings when asked for."""
    request = ranker_pb2.ScoreRequest(
        candidates=[*pictures(3, 1), picture(b"bad"), *pictures(2)], include_embeddings=True
    )

    async def question(it: Ranking) -> Any:
        plain = ranker_pb2.ScoreRequest(candidates=pictures(3))
        return await it.stub.Score(request), await it.stub.Score(plain)

    reply, plain = ask(serve, question)

    assert [(s.index, s.id) for s in reply.scores] == [(0, "p3"), (1, "p1"), (3, "p2")]
    assert [s.score for s in reply.scores] == pytest.approx(scores(3, 1, 2).tolist(), abs=1e-5)
    assert [error.index for error in reply.errors] == [2]
    assert {s.embedding.space_id for s in reply.scores} == {gallery.heads[0].space_id}
    assert {len(s.embedding.values) for s in reply.scores} == {EMBEDDING}
    assert not plain.scores[0].HasField("embedding")


def test_the_bounds_and_the_models_are_reported(serve: Serve, gallery: Gallery) -> None:
    """GetLimits is the one table; ListModels names head and backbone with their state (S-7)."""

    async def question(it: Ranking) -> Any:
        limits = await it.stub.GetLimits(ranker_pb2.GetLimitsRequest())
        return limits.limits, (await it.stub.ListModels(ranker_pb2.ListModelsRequest())).models

    limits, (head, backbone) = ask(serve, question)

    assert (limits.rank_candidates, limits.message_images, limits.message_bytes) == (1_000, 128, 64 << 20)
    assert limits.default_deadline_ms == 60_000
    assert (head.identity.name, head.identity.version, head.alias) == ("artwork-head", 1, "production")
    assert head.state == types_pb2.MODEL_STATE_SERVING
    assert (head.actual_provider, head.fell_back) == ("CPUExecutionProvider", False)
    assert list(head.accepted_space_ids) == [gallery.backbone.space_id, "b" * 64]
    assert (backbone.identity.name, backbone.state) == ("artwork-backbone", types_pb2.MODEL_STATE_SERVING)
