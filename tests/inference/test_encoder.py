"""Encoders and heads: decode → run → check, alone and in batches."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.encoder import Prepared, encode, open_encoder, run_checked
from inference.errors import (
    BadOutput,
    DeviceOutOfMemory,
    InferenceError,
    InvalidAttributes,
    InvalidImage,
    RefusedModel,
)
from inference.loading import LoadedModel
from inference.pixels import ImageLimits
from inference.vector_cache import VectorCache

Loaded = dict[str, LoadedModel]
RECORDS = [
    {"category": "코트", "material": ["데님", "실크", "레이스"]},
    {"category": "스커트"},
    {"print": ["♥"]},
    {},
    {"category": "?", "material": [f"word {n}" for n in range(30)]},
    {"material": ["니트"], "print": ["하운즈\u00a0투스", "하트"]},
]


class Narrow:
    """An encoder on a device that holds only so many inputs."""

    def __init__(self, inner: Any, room: int) -> None:
        self.inner, self.room = inner, room
        self.batches: list[int] = []
        self.decoded: list[Any] = []

    @property
    def model(self) -> LoadedModel:
        return self.inner.model

    def decode(self, content: Any) -> Prepared:
        self.decoded.append(content)
        return self.inner.decode(content)

    def run(self, batch: Sequence[Prepared]) -> np.ndarray:
        self.batches.append(len(batch))
        if len(batch) > self.room:
            raise DeviceOutOfMemory("full")
        return self.inner.run(batch)

    def check(self, vector_BD: np.ndarray) -> list[BadOutput | None]:
        return self.inner.check(vector_BD)


def test_a_picture_becomes_a_checked_vector(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """decode, run and check give one unit vector a picture, from frozen tensors."""
    encoder = open_encoder(loaded["image"])

    prepared = [encoder.decode(picture(seed)) for seed in range(3)]
    vector_BD = encoder.run(prepared)

    assert vector_BD.dtype == np.float32
    assert vector_BD.shape == (3, 16)
    assert encoder.check(vector_BD) == [None, None, None]
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepared[0].tensors = {}  # type: ignore[misc]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8, 13])
def test_a_picture_s_vector_does_not_depend_on_its_batch(
    batch_size: int, loaded: Loaded, picture: Callable[..., bytes]
) -> None:
    """The same picture gives the same bits alone, first, last and among others."""
    encoder = open_encoder(loaded["image"])
    prepared = [encoder.decode(picture(seed)) for seed in range(13)]
    alone = np.concatenate([encoder.run([one]) for one in prepared])

    parts = [encoder.run(prepared[n : n + batch_size]) for n in range(0, 13, batch_size)]
    backwards = encoder.run(prepared[::-1])[::-1]

    np.testing.assert_array_equal(np.concatenate(parts), alone)
    np.testing.assert_array_equal(backwards, alone)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6])
def test_a_record_s_vector_does_not_depend_on_its_batch(batch_size: int, loaded: Loaded) -> None:
    """A mate with a longer list changes no bit, although lists of a batch share one length."""
    encoder = open_encoder(loaded["attributes"])
    prepared = [encoder.decode(record) for record in RECORDS]
    alone = np.concatenate([encoder.run([one]) for one in prepared])

    parts = [encoder.run(prepared[n : n + batch_size]) for n in range(0, len(RECORDS), batch_size)]

    np.testing.assert_array_equal(np.concatenate(parts), alone)


def test_inputs_of_the_other_kind_are_refused(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """A record is no picture, a picture no record, and a head no encoder."""
    with pytest.raises(InvalidImage, match="fashion-image takes pictures, not attribute records"):
        open_encoder(loaded["image"]).decode({"category": "코트"})
    with pytest.raises(InvalidAttributes, match="fashion-attributes takes attribute records, not pictures"):
        open_encoder(loaded["attributes"]).decode(picture())
    with pytest.raises(RefusedModel, match="artwork-head/1 takes vectors"):
        open_encoder(loaded["vector"])


def test_limits_are_those_of_the_caller(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """An encoder opened with other bounds refuses by them."""
    encoder = open_encoder(loaded["image"], ImageLimits(pixel_count=1000))

    with pytest.raises(InvalidImage, match=r"40x30 = 0\.0 MP, the bound is 0\.0 MP"):
        encoder.decode(picture())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "the vector holds NaN or infinity"),
        (np.inf, "the vector holds NaN or infinity"),
        (0.0, "the vector has norm 0, expected 0.999 to 1.001"),
        (0.5, "the vector has norm 2, expected 0.999 to 1.001"),
    ],
)
def test_a_bad_vector_is_found_alone(value: float, message: str, loaded: Loaded) -> None:
    """NaN, infinity or a norm out of range condemns its own row and no other (S-9)."""
    vector_BD = np.full((3, 16), 0.25, np.float32)
    vector_BD[1] = value

    found = open_encoder(loaded["image"]).check(vector_BD)

    assert [None if bad is None else str(bad) for bad in found] == [None, message, None]


@pytest.fixture
def nan_model(workshop: Any) -> LoadedModel:
    """A model that gives NaN for black pictures, and passes its golden set."""
    return workshop.load(workshop.publish("image", model=workshop.fragile_graph()))


def test_a_vector_of_nan_is_that_item_s_error_and_never_cached(
    nan_model: LoadedModel, picture: Callable[..., bytes], draw: Any, encode_as: Any, tmp_path: Path
) -> None:
    """One bad output leaves its batch mates good, and is neither returned nor kept (S-9)."""
    black = encode_as(draw(20, 20).point(lambda _: 0))
    contents = [picture(0), black, picture(1)]
    cache = VectorCache.open(tmp_path / "cache", 1 << 20, "cpu")

    first = encode(open_encoder(nan_model), contents, cache=cache)
    again = encode(open_encoder(nan_model), contents, cache=cache)
    cache.close()

    for results in (first, again):
        assert isinstance(results[1], BadOutput)
        assert isinstance(results[0], np.ndarray)
        assert isinstance(results[2], np.ndarray)


def test_a_full_device_halves_the_batch(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """A batch that does not fit is halved until it does; the answers stay the same (S-9)."""
    inner = open_encoder(loaded["image"])
    narrow = Narrow(inner, room=2)
    prepared = [inner.decode(picture(seed)) for seed in range(7)]

    results = run_checked(narrow, prepared)

    np.testing.assert_array_equal(np.stack(results), inner.run(prepared))  # type: ignore[arg-type]
    assert narrow.batches == [7, 3, 1, 2, 4, 2, 2]


def test_an_input_that_fails_alone_carries_the_error(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """A device without room for one input fails each input, not the run (S-9)."""
    narrow = Narrow(open_encoder(loaded["image"]), room=0)

    results = encode(narrow, [picture(0), picture(1), b"no picture"])

    assert [type(result) for result in results] == [DeviceOutOfMemory, DeviceOutOfMemory, InvalidImage]


def test_encode_keeps_order_and_makes_equal_inputs_once(
    loaded: Loaded, picture: Callable[..., bytes]
) -> None:
    """Results stand in the order of the inputs; duplicates, near or far, are decoded once."""
    narrow = Narrow(open_encoder(loaded["image"]), room=100)
    pictures = [picture(seed) for seed in (0, 1, 0, 2, 3, 4, 1, 5, 0)]
    done: list[int] = []

    def source() -> Iterator[bytes]:
        yield from pictures[:4]
        yield b""
        yield from pictures[4:]

    results = encode(narrow, source(), batch_size=3, progress=done.append)

    assert isinstance(results.pop(4), InvalidImage)
    expected = [narrow.inner.run([narrow.inner.decode(one)])[0] for one in pictures]
    np.testing.assert_array_equal(np.stack(results), np.stack(expected))  # type: ignore[arg-type]
    assert len(narrow.decoded) == 7
    assert sum(done) == 10


def test_a_second_run_reads_the_cache(loaded: Loaded, picture: Callable[..., bytes], tmp_path: Path) -> None:
    """What was made once is not decoded again, and has the same bits (A-15)."""
    contents = [picture(seed) for seed in range(5)]
    cache = VectorCache.open(tmp_path / "cache", 1 << 20, "cpu")
    first = encode(open_encoder(loaded["image"]), contents, cache=cache)
    narrow = Narrow(open_encoder(loaded["image"]), room=100)

    again = encode(narrow, contents, cache=cache)
    cache.close()

    assert narrow.decoded == []
    np.testing.assert_array_equal(np.stack(again), np.stack(first))  # type: ignore[arg-type]


def test_records_are_encoded_with_the_errors_in_their_places(loaded: Loaded) -> None:
    """Records that do not fit, or are no JSON, fail alone (S-5)."""
    results = encode(
        open_encoder(loaded["attributes"]), [RECORDS[0], {"category": 3}, {"category": object()}, RECORDS[1]]
    )

    assert [isinstance(result, np.ndarray) for result in results] == [True, False, False, True]
    assert isinstance(results[1], InvalidAttributes)
    assert isinstance(results[2], InvalidAttributes)


def test_a_graph_that_cannot_run_stops_the_work(loaded: Loaded, picture: Callable[..., bytes]) -> None:
    """A failure of the graph itself is raised, not turned into one error an item."""
    encoder = Narrow(open_encoder(loaded["image"]), room=9)
    encoder.run = lambda _batch: (_ for _ in ()).throw(InferenceError("the graph cannot be run"))  # type: ignore[method-assign]

    with pytest.raises(InferenceError, match="cannot be run"):
        encode(encoder, [picture()])


def test_nothing_in_gives_nothing_out(loaded: Loaded) -> None:
    """No inputs, no results."""
    assert encode(open_encoder(loaded["image"]), []) == []
    assert run_checked(open_encoder(loaded["image"]), []) == []
