"""The durable cache of vectors: hits, bounds, damage, several openers, kill -9."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference.errors import InvalidAttributes
from inference.vector_cache import VectorCache, cache_key

MEBI = 1 << 20
RUNTIME = "CPUExecutionProvider/onnxruntime-1"


def vectors(count: int, dimension: int = 16, start: int = 0) -> dict[str, np.ndarray]:
    made = {}
    for n in range(start, start + count):
        made[f"key-{n}"] = np.random.default_rng(n).standard_normal(dimension).astype(np.float32)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    cache = VectorCache.open(tmp_path / "cache", MEBI, RUNTIME)
    yield cache
    cache.close()


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[k], expected[k]) for k in found)


def test_what_is_put_is_got_bit_by_bit(cache: VectorCache) -> None:
    """Vectors come back as float32 with the same bits; keys that are not held are left out."""
    put = vectors(20)

    cache.put_many(put)

    assert same(cache.get_many([*put, "other"]), put)
    assert cache.get_many([]) == {}


def test_entries_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    """A cache closed and opened again holds what it held."""
    put = vectors(5)
    first = VectorCache.open(tmp_path, MEBI, RUNTIME)
    first.put_many(put)
    first.close()
    first.close()

    second = VectorCache.open(tmp_path, MEBI, RUNTIME)

    assert same(second.get_many(put), put)
    second.close()


def test_another_runtime_is_another_cache(tmp_path: Path) -> None:
    """Provider and runtime version are part of every key."""
    put = vectors(3)
    first = VectorCache.open(tmp_path, MEBI, RUNTIME)
    first.put_many(put)
    first.close()

    second = VectorCache.open(tmp_path, MEBI, "CUDAExecutionProvider/onnxruntime-1")

    assert second.get_many(put) == {}
    second.close()


def test_a_later_vector_replaces_an_earlier_one(cache: VectorCache) -> None:
    """A key holds one vector, and the byte count does not drift."""
    cache.put_many(vectors(1))
    before = cache._file.byte_count
    new = {"key-0": np.ones(16, np.float32)}

    cache.put_many(new)

    assert same(cache.get_many(new), new)
    assert cache._file.byte_count == before


def test_vectors_that_are_not_finite_are_never_kept(cache: VectorCache) -> None:
    """NaN and infinity are left out, their neighbours are not (S-9)."""
    good = vectors(1)
    bad = {"nan": np.array([np.nan, 1], np.float32), "inf": np.array([np.inf], np.float32)}

    cache.put_many({**bad, **good})

    assert same(cache.get_many([*bad, *good]), good)
    assert cache._file.connection is not None
    assert cache._file.connection.execute("SELECT count(*) FROM entry").fetchone() == (1,)


def test_the_unused_for_longest_are_dropped_at_the_bound(tmp_path: Path) -> None:
    """Within the byte bound, what was read or written lately stays."""
    entry = 16 * 4 + 160
    cache = VectorCache.open(tmp_path, 20 * entry, RUNTIME)
    for n in range(20):
        cache.put_many(vectors(1, start=n))
    assert len(cache.get_many(["key-0", "key-1"])) == 2

    cache.put_many(vectors(1, start=20))

    held = cache.get_many(f"key-{n}" for n in range(21))
    assert {"key-0", "key-1", "key-20"} <= held.keys()
    assert {"key-2", "key-3"}.isdisjoint(held)
    assert len(held) == 18
    assert cache._file.byte_count == 18 * entry
    cache.close()


def test_a_vector_above_the_whole_bound_is_not_kept(tmp_path: Path) -> None:
    """One vector too large for the cache drops nothing else."""
    cache = VectorCache.open(tmp_path, 1000, RUNTIME)
    small = vectors(1)
    cache.put_many(small)

    cache.put_many({"large": np.ones(1000, np.float32)})

    assert same(cache.get_many(["large", *small]), small)
    cache.close()


def test_a_lower_bound_shrinks_the_file(tmp_path: Path) -> None:
    """Opened with a lower bound, a cache gives the room back to the disk."""
    cache = VectorCache.open(tmp_path, 4 * MEBI, RUNTIME)
    cache.put_many(vectors(1000, 512))
    cache.close()
    before = (tmp_path / "vectors.sqlite").stat().st_size

    cache = VectorCache.open(tmp_path, MEBI // 4, RUNTIME)
    held = cache.get_many(f"key-{n}" for n in range(1000))
    cache.close()

    assert 50 < len(held) <= 120
    assert (tmp_path / "vectors.sqlite").stat().st_size < before / 4


def test_reads_alone_write_nothing(cache: VectorCache) -> None:
    """A hit costs no write: uses are noted together, later."""
    put = vectors(100)
    cache.put_many(put)
    wal = cache.directory / "vectors.sqlite-wal"
    before = wal.stat()

    for _ in range(50):
        cache.get_many(put)

    assert (wal.stat().st_size, wal.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_second_opener_reads_only(tmp_path: Path) -> None:
    """One process writes a directory; another reads what it writes, and its puts are nothing."""
    writer, put = VectorCache.open(tmp_path, MEBI, RUNTIME), vectors(4)
    writer.put_many(put)
    reader = VectorCache.open(tmp_path, MEBI, RUNTIME)

    reader.put_many({"mine": np.ones(3, np.float32)})
    writer.put_many(vectors(1, start=9))

    assert (writer.writable, reader.writable) == (True, False)
    assert same(reader.get_many(put), put)
    assert reader.get_many(["mine"]) == {}
    assert len(reader.get_many(["key-9"])) == 1
    writer.close()
    assert same(reader.get_many(put), put)
    reader.close()
    third = VectorCache.open(tmp_path, MEBI, RUNTIME)
    assert third.writable
    third.close()


def test_a_reader_may_come_before_the_file(tmp_path: Path) -> None:
    """A reader of a cache whose file is gone finds nothing until there is one."""
    writer = VectorCache.open(tmp_path, MEBI, RUNTIME)
    for path in tmp_path.glob("vectors.sqlite*"):
        path.rename(tmp_path / f"away-{path.name}")
    reader = VectorCache.open(tmp_path, MEBI, RUNTIME)
    assert reader.get_many(["key-0"]) == {}
    for path in tmp_path.glob("away-*"):
        path.rename(tmp_path / path.name.removeprefix("away-"))
    put = vectors(1)

    writer.put_many(put)

    assert same(reader.get_many(put), put)
    reader.close()
    writer.close()


def test_a_damaged_entry_is_dropped_and_made_again(cache: VectorCache) -> None:
    """An entry whose checksum does not hold is a miss, is removed, and may be put anew."""
    put = vectors(3)
    cache.put_many(put)
    assert cache._file.connection is not None
    cache._file.connection.execute("UPDATE entry SET vector = zeroblob(64) WHERE rowid = 2")

    found = cache.get_many(put)

    assert len(found) == 2
    assert cache._file.connection.execute("SELECT count(*) FROM entry").fetchone() == (2,)
    cache.put_many(put)
    assert same(cache.get_many(put), put)


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "schema", "table"])
def test_a_broken_file_is_discarded(damage: str, tmp_path: Path) -> None:
    """Whatever happened to the file, the cache opens, forgets and works (S-10)."""
    cache = VectorCache.open(tmp_path, MEBI, RUNTIME)
    cache.put_many(vectors(500))
    cache.close()
    path = tmp_path / "vectors.sqlite"
    match damage:
        case "garbage":
            path.write_bytes(b"not a database" * 1000)
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "empty":
            path.write_bytes(b"")
        case _:
            with sqlite3.connect(path) as connection:
                connection.execute("PRAGMA user_version = 99" if damage == "schema" else "DROP TABLE entry")
            connection.close()

    cache = VectorCache.open(tmp_path, MEBI, RUNTIME)
    cache.get_many(f"key-{n}" for n in range(500))
    put = vectors(5, start=1000)
    cache.put_many(put)

    assert same(cache.get_many(put), put)
    cache.close()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.integers(0, 2**31), min_size=1, max_size=30))
@example(places=[3815])  # in the schema: SQLite's error is then not UTF-8
def test_flipped_bytes_never_give_a_wrong_vector(
    places: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the file is damaged, a get gives the right bits or nothing, and never raises."""
    directory, put = tmp_path_factory.mktemp("flip"), vectors(40)
    cache = VectorCache.open(directory, MEBI, RUNTIME)
    cache.put_many(put)
    cache.close()
    path = directory / "vectors.sqlite"
    body = bytearray(path.read_bytes())
    for place in places:
        body[place % len(body)] ^= 1 << (place % 8)
    path.write_bytes(bytes(body))

    cache = VectorCache.open(directory, MEBI, RUNTIME)
    found = cache.get_many(put)
    cache.put_many(vectors(3, start=50))
    cache.close()

    assert all(np.array_equal(found[key], put[key]) for key in found)


def test_many_threads_share_one_cache(cache: VectorCache) -> None:
    """Gets and puts from several threads neither fail nor mix entries."""
    wrong: list[str] = []

    def work(start: int) -> None:
        for n in range(start, start + 30):
            put = vectors(2, start=n)
            cache.put_many(put)
            if not same(cache.get_many(put), put):
                wrong.append(f"key-{n}")

    threads = [threading.Thread(target=work, args=(k * 15,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_full_disk_is_a_miss_not_an_error(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    """When SQLite cannot write, what is held is still read and the failure is logged."""
    put = vectors(3)
    cache.put_many(put)
    assert cache._file.connection is not None
    (pages,) = cache._file.connection.execute("PRAGMA page_count").fetchone()
    cache._file.connection.execute(f"PRAGMA max_page_count = {pages}")

    cache.put_many(vectors(400, 512, start=10))

    assert same(cache.get_many(put), put)
    assert "vector cache failed" in caplog.text
    cache._file.connection.execute("PRAGMA max_page_count = 100000")
    cache.put_many(vectors(1, start=10))
    assert len(cache.get_many(["key-10"])) == 1


def test_a_disk_that_stays_full_is_logged_once_and_its_recovery_too(
    cache: VectorCache, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that computes on while its disk is full does not fill its log with that (S-8)."""
    caplog.set_level("INFO")
    cache.put_many(vectors(3))
    assert cache._file.connection is not None
    (pages,) = cache._file.connection.execute("PRAGMA page_count").fetchone()
    cache._file.connection.execute(f"PRAGMA max_page_count = {pages}")
    for start in range(10, 4_010, 400):
        cache.put_many(vectors(400, 512, start=start))
    cache._file.connection.execute("PRAGMA max_page_count = 100000")
    cache.put_many(vectors(1, start=10))
    cache.put_many(vectors(1, start=11))

    assert [record.message for record in caplog.records] == [
        "vector cache failed",
        "vector cache can be written again",
    ]


def test_a_closed_cache_answers_nothing(tmp_path: Path) -> None:
    """After close, gets are misses and puts are nothing."""
    cache = VectorCache.open(tmp_path, MEBI, RUNTIME)
    cache.close()

    cache.put_many(vectors(1))

    assert cache.get_many(["key-0"]) == {}


WRITER = """
import sys, numpy as np
from pathlib import Path
from inference.vector_cache import VectorCache
cache = VectorCache.open(Path(sys.argv[1]), 1 << 20, "cpu")
n = 0
while True:
    cache.put_many({f"key-{n + k}": np.full(64, n + k, np.float32) for k in range(8)})
    n += 8
    print(n, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_it_had_put(tmp_path: Path) -> None:
    """After kill -9 in the middle of writing, every acknowledged entry is there and whole."""
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(40):
                written = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)

        cache = VectorCache.open(tmp_path, MEBI, "cpu")
        found = cache.get_many(f"key-{n}" for n in range(written))
        assert cache.writable
        cache.close()

        assert len(found) == written
        assert all((vector == int(key.removeprefix("key-"))).all() for key, vector in found.items())


def test_keys_tell_inputs_spaces_and_views_apart() -> None:
    """Content, its kind, the space and the view each change the key; a record's field order does not."""
    keys = {
        cache_key(b"{}", "space"),
        cache_key({}, "space"),
        cache_key(b"{}", "other"),
        cache_key(b"{}", "space", "view"),
        cache_key(b"view{}", "space"),
        cache_key({"a": "b"}, "space"),
        cache_key({"a": ["b"]}, "space"),
    }

    assert len(keys) == 7
    assert cache_key({"a": "1", "b": None}, "s") == cache_key({"b": None, "a": "1"}, "s")


@pytest.mark.parametrize("record", [{"a": object()}, {"a": {1, 2}}, {"a": "\ud800"}])
def test_a_record_that_is_no_json_has_no_key(record: dict[str, object]) -> None:
    """What cannot be written down cannot be a key."""
    with pytest.raises(InvalidAttributes):
        cache_key(record, "space")
