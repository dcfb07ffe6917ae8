import time
import tracemalloc
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.artwork.data.pairs import PairList, generate_pairs, write_pairs


@given(st.lists(st.integers(1, 4), max_size=25))
def test_every_cross_tier_pair_once(ranks: list[int]):
    """The pairs are those of a plain double loop, and each label agrees with the tiers (A-4)."""
    rank_N = np.array(ranks, dtype=int)

    pairs = generate_pairs(rank_N)

    found = [frozenset(p) for p in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    wanted = {frozenset((a, b)) for a, b in combinations(range(len(ranks)), 2) if ranks[a] != ranks[b]}
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert np.array_equal(np.sign(rank_N[pairs.first] - rank_N[pairs.second]), pairs.label)


def test_labels_are_balanced():
    """About half of the pairs have the better picture first."""
    pairs = generate_pairs(np.repeat([1, 2, 3, 4], 20))

    assert abs(int(pairs.label.sum())) <= 6


@pytest.mark.slow
@pytest.mark.timed
def test_ten_thousand_images_take_a_second():
    """37.5 million pairs are made in the time that the requirement gives (A-4)."""
    rank_N = np.repeat([1, 2, 3, 4], 2_500)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        pairs = generate_pairs(rank_N)
        seconds.append(time.process_time() - started)

    assert len(pairs) == 37_500_000
    assert min(seconds) < 1.0


def test_pairs_are_written_as_csv(tmp_path: Path):
    """One header, one line a pair, awkward ids quoted (A-4)."""
    write_pairs(PairList(np.array([4, 1, 1])), ["a", 'b,"x', "c"], tmp_path / "pairs.csv")

    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines == ["img_a,img_b,label", 'a,"b,""x",1', "c,a,-1"]


@given(st.lists(st.integers(1, 4), max_size=25), st.integers(1, 40))
def test_a_list_gives_the_same_pairs_a_chunk_at_a_time(ranks: list[int], size: int):
    """In the same order and with the same labels as all at once, whatever the size of a chunk (A-4)."""
    rank_N = np.array(ranks, dtype=int)
    pairs, listed = generate_pairs(rank_N), PairList(rank_N)

    chunks = list(listed.chunks(size))

    assert len(listed) == len(pairs) == sum(len(chunk) for chunk in chunks)
    assert all(len(chunk) <= size for chunk in chunks)
    for name in ("first", "second", "label"):
        joined = [number for chunk in chunks for number in getattr(chunk, name).tolist()]
        assert joined == getattr(pairs, name).tolist()


def test_a_hundred_thousand_images_are_listed_without_their_pairs():
    """3.75 billion pairs take the memory of the images; any of them can be taken (A-4)."""
    rank_N = np.repeat([1, 2, 3, 4], 25_000)
    tracemalloc.start()

    listed = PairList(rank_N)
    pairs = listed.take(np.array([0, len(listed) // 2, len(listed) - 1]))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(listed) == 3_750_000_000
    assert np.array_equal(np.sign(rank_N[pairs.first] - rank_N[pairs.second]), pairs.label)
    assert peak < 8 << 20


@pytest.mark.parametrize("number", [-1, 2])
def test_a_number_that_no_pair_has_is_refused(number: int):
    """It is no other pair's either."""
    with pytest.raises(IndexError, match="of 2"):
        PairList(np.array([4, 1, 1])).take(np.array([number]))
