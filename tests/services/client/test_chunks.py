"""Sets cut to what a message may hold."""

from atelier.ranker.v1 import ranker_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.client.chunks import chunked


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 9), st.integers(1, 1_000))
def test_chunks_keep_order_and_bounds(sizes: list[int], item_count: int, byte_count: int) -> None:
    """Chunks put together are the items; none holds too many or, of several items, too much (S-7)."""
    items = [ranker_pb2.Candidate(id=str(i), image=bytes(size)) for i, size in enumerate(sizes)]

    chunks = list(chunked(items, item_count, byte_count))

    assert [item.id for chunk in chunks for item in chunk] == [item.id for item in items]
    for chunk in chunks:
        assert 1 <= len(chunk) <= item_count
        message = ranker_pb2.RankRequest(candidates=chunk)
        assert len(chunk) == 1 or message.ByteSize() <= byte_count
