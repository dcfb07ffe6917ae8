"""Vectors in memory: bounded, the least recently used go first."""

import numpy as np
import pytest

from inference.vectors.recent import RecentVectors


def vector(number: int, dimension: int = 100) -> np.ndarray:
    return np.full(dimension, number, np.float32)


def test_what_is_put_is_got_and_cannot_be_written_to() -> None:
    """A held vector has the bits that were put, and no reader can change it for the next (A-15)."""
    recent = RecentVectors(10_000)
    given = vector(1)
    recent.put_many({"a": given})
    given[0] = 7

    got = recent.get_many(["a", "b"])

    assert list(got) == ["a"]
    assert got["a"].tobytes() == vector(1).tobytes()
    with pytest.raises(ValueError, match="read-only"):
        got["a"][0] = 2


def test_the_least_recently_used_go_when_the_bound_is_reached() -> None:
    """Memory stays within the bound, and what was read last stays (A-15)."""
    recent = RecentVectors(3 * 800)
    recent.put_many({"a": vector(1), "b": vector(2), "c": vector(3)})
    recent.get_many(["a"])
    recent.put_many({"d": vector(4)})

    assert set(recent.get_many("abcd")) == {"a", "c", "d"}
    assert recent.held_bytes <= recent.byte_count


def test_a_row_of_a_batch_does_not_keep_the_batch() -> None:
    """A vector is copied out of the batch that it was computed in: the bound is on real memory (A-15)."""
    recent = RecentVectors(10_000)
    batch_BD = np.zeros((1_000, 100), np.float32)
    recent.put_many({"a": batch_BD[0]})

    assert recent.get_many(["a"])["a"].base is None


def test_without_bytes_nothing_is_held() -> None:
    """A bound of 0 holds none, and a vector larger than the bound is not held (A-15)."""
    recent = RecentVectors(0)
    recent.put_many({"a": vector(1)})

    assert recent.get_many(["a"]) == {}
    assert recent.held_bytes == 0
