"""Steady load on a house: every kind of question asked over and over, and how each answer fared."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from services.client.embedder import EmbedderClient, image_input
from services.client.ranker import RankerClient, feature, picture
from services.client.recommender import RecommenderClient
from tests.integration.conftest import drawing

# What each kind of question cannot be answered without.
NEEDS: Mapping[str, frozenset[str]] = {
    "embed": frozenset({"embedder"}),
    "rank pictures": frozenset({"ranker", "embedder"}),
    "rank features": frozenset({"ranker"}),
    "recommend by item": frozenset({"recommender"}),
    "recommend by vector": frozenset({"recommender"}),
    "recommend by attributes": frozenset({"recommender", "embedder"}),
    "recommend by picture": frozenset({"recommender", "embedder"}),
    "upsert": frozenset({"recommender", "embedder"}),
}
KINDS = frozenset(NEEDS)
_PAUSE_S = 0.02  # load that leaves the services some of the two cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question's fate: when it was asked, how long it took, and the error if there was one."""

    kind: str
    asked_at: float
    seconds: float
    error: Exception | None


class Load:
    """Answers so far, by every thread."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def add(self, answer: Answer) -> None:
        self._answers.append(answer)

    def between(self, since: float, until: float) -> list[Answer]:
        """What was asked in an interval of time.monotonic() and is answered."""
        return [answer for answer in list(self._answers) if since <= answer.asked_at < until]

    def count(self, kind: str, since: float, *, ok: bool) -> int:
        return sum(a.kind == kind and (a.error is None) is ok for a in self.between(since, time.monotonic()))

    def await_each(self, since: float, needed: int, timeout_s: float) -> None:
        """Return once every kind was answered, well or not, `needed` times after `since`."""
        end = time.monotonic() + timeout_s
        while any(self.count(k, since, ok=True) + self.count(k, since, ok=False) < needed for k in KINDS):
            assert time.monotonic() < end, "questions hang"
            time.sleep(0.02)  # between two looks

    def first_good(self, kinds: frozenset[str], since: float, timeout_s: float) -> float:
        """Seconds from `since` until each of `kinds` had a good answer to a question asked after it."""
        end = time.monotonic() + timeout_s
        while any(not self.count(kind, since, ok=True) for kind in kinds):
            assert time.monotonic() < end, (
                f"not answered again: {[k for k in kinds if not self.count(k, since, ok=True)]}"
            )
            time.sleep(0.02)  # between two looks
        good = [a for a in self.between(since, end) if a.error is None]
        return max(min(a.asked_at + a.seconds for a in good if a.kind == kind) for kind in kinds) - since


@contextmanager
def asking_everything(addresses: Mapping[str, str]) -> Iterator[Load]:
    """Every kind of question, each asked by a thread of its own over one channel, until the context ends.

    addresses: of embedder, ranker and recommender. The clients try once, so that one attempt is what is seen.
    """
    load, stop = Load(), threading.Event()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.client.channel.RETRIES", 0)
        embedder = stack.enter_context(EmbedderClient(addresses["embedder"]))
        ranker = stack.enter_context(RankerClient(addresses["ranker"]))
        shop = stack.enter_context(RecommenderClient(addresses["recommender"]))
        questions = _questions(embedder, ranker, shop)
        threads = [
            threading.Thread(target=_ask, args=(kind, ask, load, stop), name=kind)
            for kind, ask in questions.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            stop.set()
            for thread in threads:
                thread.join(70)
            assert not any(thread.is_alive() for thread in threads)


def _ask(kind: str, ask: Callable[[], object], load: Load, stop: threading.Event) -> None:
    while not stop.wait(_PAUSE_S):
        asked_at, error = time.monotonic(), None
        try:
            ask()
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is this answer's
            error = failure
        load.add(Answer(kind=kind, asked_at=asked_at, seconds=time.monotonic() - asked_at, error=error))


def _questions(
    embedder: EmbedderClient, ranker: RankerClient, shop: RecommenderClient
) -> Mapping[str, Callable[[], object]]:
    """The questions; asked when everything runs, because some are about vectors that the services made."""
    image_space = shop.get_status().space_id
    judged = ranker.rank([picture(drawing(n), str(n)) for n in range(2)])
    art_space = judged.models[1].space_id
    garments = [catalog_pb2.UpsertItem(item_id=f"g{n}", image=drawing(n)) for n in range(6)]
    shop.upsert_items(garments)
    art = _vectors(embedder, art_space)
    garment = _vectors(embedder, image_space)[0]
    words = ParseDict({"category": "스커트", "material": ["데님"]}, Struct())
    fresh = count(1_000)  # every picture is a new one, so that no cache answers

    def picture_bytes() -> bytes:
        return drawing(next(fresh))

    recommend = shop.recommend
    request = recommender_pb2.RecommendRequest
    return {
        "embed": lambda: embedder.embed([image_input(picture_bytes())], space_id=image_space),
        "rank pictures": lambda: ranker.rank([picture(picture_bytes(), "a"), picture(picture_bytes(), "b")]),
        "rank features": lambda: ranker.rank([feature(art_space, v, str(i)) for i, v in enumerate(art)]),
        "recommend by item": lambda: recommend(request(items=resources_pb2.ItemIds(item_ids=["g1"]))),
        "recommend by vector": lambda: recommend(
            request(vector=types_pb2.SpaceVector(space_id=image_space, values=garment))
        ),
        "recommend by attributes": lambda: recommend(request(attributes=words)),
        "recommend by picture": lambda: recommend(request(image=picture_bytes())),
        "upsert": lambda: shop.upsert_items(
            [catalog_pb2.UpsertItem(item_id=f"u{next(fresh)}", image=picture_bytes())]
        ),
    }


def _vectors(embedder: EmbedderClient, space_id: str) -> Sequence[Sequence[float]]:
    reply = embedder.embed([image_input(drawing(n)) for n in range(3)], space_id=space_id)
    return [list(result.vector.values) for result in reply.results]
