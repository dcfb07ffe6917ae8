"""Segments on disk: what is read back, what is refused, what a crash leaves."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store.durable import hash_file
from tests.vector_index.drawing import DIMENSION, IDENTITY, KINDS, directory, draw, sealed
from vector_index import building
from vector_index.files import MANIFEST, IndexIdentity
from vector_index.native import Ask
from vector_index.rows import new_rows
from vector_index.segment import GraphSettings, Part, Segment, search_parts
from vector_index.segmented import SegmentedIndex


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


def part(count=20, seed=42, contents=None):
    rows = new_rows(np.arange(1, count + 1), draw(count, seed=seed), DIMENSION, contents)
    return Part.whole(Segment(rows=rows))


def kept(path, *parts, revision=20):
    """The directory after these parts were built and kept, and their segments."""
    made = directory(path)
    segments = [made.create([each]) for each in parts or [part()]]
    made.keep(segments, revision)
    return made, segments


def only(path, suffix):
    (file,) = path.glob(f"*{suffix}")
    return file


def load(path, through=20, **changes):
    return directory(path, **changes).load(through=through)


def test_a_kept_segment_comes_back_bit_by_bit(path, caplog):
    """Rows, labels, contents and neighbours of a loaded segment are those of the rows it was built from."""
    contents = np.arange(20, dtype=np.uint64) + 2**63
    source = part(contents=contents)
    _, (saved,) = kept(path, source)

    (back,) = load(path)

    assert caplog.records == []
    assert back.name == saved.name
    for name in ("labels", "vector_ND", "contents"):
        assert np.array_equal(getattr(back.rows, name), getattr(source.segment.rows, name))
    query, ask = draw(1, seed=1).astype(np.float64), Ask(count=5, ef=64, candidate_rows=0)
    matches = [search_parts([Part.whole(each)], query, ask) for each in (back, saved)]
    assert matches[0].labels.tolist() == matches[1].labels.tolist()


def test_a_segment_joins_the_live_rows_of_its_parts(path):
    """Rows of several parts are in the order of their labels, without the dead ones."""
    one = Part.whole(Segment(rows=new_rows(np.array([1, 4, 6]), draw(3), DIMENSION)))
    two = Part.whole(Segment(rows=new_rows(np.array([2, 3, 5]), draw(3, seed=2), DIMENSION)))

    segment = directory(path).create([one.without(np.array([4])), two])

    assert segment.rows.labels.tolist() == [1, 2, 3, 5, 6]
    assert np.array_equal(segment.rows.vector_ND[0], one.segment.rows.vector_ND[0])
    assert np.array_equal(segment.rows.vector_ND[3], two.segment.rows.vector_ND[2])


def test_manifest_says_everything_that_a_reader_must_agree_with(path):
    """The manifest names catalog, generation, space, revision, graph and the hash of every file (S-10)."""
    kept(path, revision=33)

    manifest = json.loads((path / MANIFEST).read_text())

    (file,) = manifest.pop("segments")
    assert file == {
        "name": file["sha256"][:32],
        "rows": 20,
        "size": only(path, ".hnsw").stat().st_size,
        "sha256": hash_file(only(path, ".hnsw")),
        "contents_sha256": hash_file(only(path, ".contents")),
    }
    assert manifest == {
        "schema_version": 2,
        "catalogue_id": "c" * 32,
        "space": "s" * 64,
        "generation": 0,
        "through_revision": 33,
        "metric": "cosine",
        "dimension": DIMENSION,
        "M": 32,
        "ef_construction": 200,
    }


def flip(path):
    _flip(only(path, ".hnsw"))


def flip_contents(path):
    _flip(only(path, ".contents"))


def _flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(path):
    file = only(path, ".hnsw")
    file.write_bytes(file.read_bytes()[:-1])


def lose_graph(path):
    only(path, ".hnsw").unlink()


def lose_contents(path):
    only(path, ".contents").unlink()


def put_a_directory(path):
    file = only(path, ".hnsw")
    file.unlink()
    file.mkdir()


FILE_DAMAGES = {
    flip: "hash differs",
    flip_contents: "hash differs",
    truncate: "bytes, the manifest says",
    lose_graph: "cannot be read: No such file",
    lose_contents: "cannot be read: No such file",
    put_a_directory: "",
}


@pytest.mark.parametrize(("damage", "problem"), FILE_DAMAGES.items(), ids=[d.__name__ for d in FILE_DAMAGES])
def test_damaged_files_are_reported_and_removed(path, damage, problem, caplog):
    """A damaged segment is never loaded: the problem is named and its files go, the others stay."""
    # proves S-10
    kept(path, part())
    damage(path)

    loaded = load(path)

    assert loaded == []
    assert problem in caplog.records[0].problem
    assert [file.name for file in path.iterdir()] == [MANIFEST]


def edited(**values):
    return lambda path: (path / MANIFEST).write_text(
        json.dumps(json.loads((path / MANIFEST).read_text()) | values)
    )


def written(text):
    return lambda path: (path / MANIFEST).write_text(text)


def as_directory(path):
    (path / MANIFEST).unlink()
    (path / MANIFEST).mkdir()


MANIFEST_DAMAGES = {
    "cut": (written('{"schema_version": 2'), "not a manifest"),
    "infinite": (edited(through_revision=float("inf")), "not a manifest"),
    "huge number": (written('{"through_revision": 1e400}'), "not a manifest"),
    "brackets": (written("[" * 100_000), "not a manifest"),
    "long": (written(" " * (1 << 21)), "larger than"),
    "directory": (as_directory, "cannot be read"),
    "newer": (edited(schema_version=3), "has schema_version 3, this index 2"),
    "space": (edited(space="t" * 64), "has space"),
    "catalogue": (edited(catalogue_id="d" * 32), "has catalogue_id"),
    "ahead": (edited(through_revision=21), "goes through revision 21, the catalog through 20"),
    "extra": (edited(extra=1), "not a manifest"),
    "name": (edited(segments=[{"name": "../../x"}]), "not a manifest"),
}


@pytest.mark.parametrize("damage", MANIFEST_DAMAGES)
def test_a_damaged_or_foreign_manifest_is_reported(path, damage, caplog):
    """Nothing that the manifest names is loaded; the problem is named, and no damage ends the start
    (S-10)."""
    kept(path)
    harm, problem = MANIFEST_DAMAGES[damage]
    harm(path)

    loaded = load(path)

    assert loaded == []
    assert problem in caplog.records[0].problem
    assert not list(path.glob("*.hnsw"))


def test_a_wrong_count_of_rows_is_refused(path, caplog):
    """Files with right hashes but fewer rows than the manifest says are not loaded."""
    kept(path)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["segments"][0]["rows"] = 21
    (path / MANIFEST).write_text(json.dumps(manifest))

    assert load(path) == []
    assert "holds 20 rows and 20 contents, the manifest says 21" in caplog.records[0].problem


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": 8},
        {"graph": GraphSettings(M=16)},
        {"identity": IndexIdentity(catalogue_id=IDENTITY.catalogue_id, space="other")},
    ],
)
def test_files_of_another_index_are_refused(path, changes, caplog):
    """A segment of another dimension, graph or space is not loaded; both values are named."""
    kept(path)

    assert load(path, **changes) == []
    assert " this index " in caplog.records[0].problem


def test_a_segment_that_no_manifest_names_was_never_finished(path, caplog):
    """A crash before the manifest leaves nothing that is loaded, and the next load cleans up."""
    directory(path).create([part()])
    (path / ".staging-x").mkdir()

    loaded = load(path)

    assert loaded == caplog.records == []
    assert list(path.iterdir()) == []


def test_keeping_drops_what_is_not_kept(path):
    """Files of segments that are gone are removed; the others are not written again."""
    made, (first, second) = kept(path, part(seed=1), part(seed=2))
    before = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    third = made.create([part(seed=3)])

    made.keep([second, third], 21)

    after = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    assert len(after) == 5
    assert len(after.items() & before.items()) == 2
    assert not list(path.glob(f"{first.name}*"))
    assert len(load(path, through=21)) == 2
    assert made.manifest_digest == hash_file(path / MANIFEST)


def test_an_index_keeps_its_segments_by_itself(path):
    """After sealing, a new index starts from the files and asks only for what they lack."""
    index = SegmentedIndex(directory(path), KINDS["tiers"])
    for label, row in enumerate(draw(21), start=1):
        index.update(np.array([label]), row[None], revision=label)
        sealed(index)
    index.close()

    again = SegmentedIndex(directory(path), KINDS["tiers"])
    missing = again.restore(np.arange(1, 22), np.zeros(21, np.uint64), revision=21)

    assert missing.tolist() == [17, 18, 19, 20, 21]
    again.close()


def test_an_absent_directory_is_an_empty_one(path, caplog):
    """A first start finds no segments and no problems."""
    assert load(path) == []
    assert caplog.records == []


def test_a_short_write_is_an_error(path, monkeypatch):
    """hnswlib ignores a full disk; a file that is shorter than the graph is refused and removed."""

    class Short:
        def save_index(self, path):
            Path(path).write_bytes(b"x")

        def index_file_size(self):
            return 100

    monkeypatch.setattr(building, "_graph", lambda *_: Short())
    with pytest.raises(OSError, match="1 bytes, expected 100"):
        directory(path).create([part()])

    assert list(path.iterdir()) == []


def test_a_stopped_build_leaves_nothing(path, monkeypatch):
    """An index that closes abandons the child that builds, and its files."""
    monkeypatch.setattr(building, "LARGE_BYTES", 0)
    made = directory(path)
    made.stop()

    with pytest.raises(building.Stopped):
        made.create([part()])

    assert list(path.iterdir()) == []


@pytest.mark.slow
def test_large_segments_are_built_by_a_child(path, monkeypatch):
    """Beyond the bound a spawned child builds the file, which is the same to the bit."""
    here = directory(path / "here").create([part()])
    monkeypatch.setattr(building, "LARGE_BYTES", 0)
    monkeypatch.setattr(building, "_graph", lambda *_: sys.exit("built here"))

    there = directory(path / "there").create([part()])

    assert there.name == here.name


@pytest.mark.slow
def test_a_child_that_fails_is_an_error(path, monkeypatch):
    """A child that dies leaves no file behind and raises OSError."""
    monkeypatch.setattr(building, "LARGE_BYTES", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(OSError, match="child that builds a graph ended with 1"):
        directory(path).create([part()])

    assert list(path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("delay_ms", [0, 2, 5, 10, 20, 40])
def test_kill_while_keeping_leaves_whole_files_or_none(path, delay_ms, caplog):
    """kill -9 at any moment leaves segments that load whole, or nothing."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.vector_index.test_files import directory, part\n"
        "made, segments = directory(Path(sys.argv[1])), []\n"
        "print('go', flush=True)\n"
        "for seed in range(30):\n"
        "    segments.append(made.create([part(200, seed)]))\n"
        "    made.keep(segments, 1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        try:
            child.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            child.kill()

    loaded = load(path)

    assert caplog.records == []
    assert all(len(segment) == 200 for segment in loaded)


def test_a_child_that_builds_ends_with_its_parent():
    """A process that is killed leaves no child that builds on for minutes."""
    child = (
        "import signal; from vector_index.building import die_with_parent as d; d(); print(); signal.pause()"
    )
    parent = (
        "import subprocess, sys\n"
        f"with subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE) as child:\n"
        "    child.stdout.readline()\n"
        "    print(child.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        child_ends = os.pidfd_open(pid)
        process.kill()

        ended, _, _ = select.select([child_ends], [], [], 30)

    os.close(child_ends)
    assert ended
