import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store.durable import hash_file
from tests.vector_index.drawing import DIMENSION, GRAPH, KINDS, draw, settle
from vector_index import files
from vector_index.files import SegmentDirectory
from vector_index.rows import new_rows
from vector_index.segment import GraphSettings, Segment
from vector_index.segmented import SegmentedIndex


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


def directory(path, **changes):
    return SegmentDirectory(path, **{"space": "s" * 64, "dimension": DIMENSION, "graph": GRAPH} | changes)


def segment(count=20, seed=42):
    return Segment.build(new_rows(np.arange(1, count + 1), draw(count, seed=seed), DIMENSION), GRAPH)


def only(path, suffix):
    (found,) = path.glob(f"*{suffix}")
    return found


def test_a_kept_segment_comes_back_bit_by_bit(path, caplog):
    """Rows, labels and neighbours of a loaded segment are those of the one that was saved."""
    saved = segment()
    directory(path).save([saved], 20)

    loaded = directory(path).load()

    assert caplog.records == []
    (back,) = loaded
    assert np.array_equal(back.rows.labels, saved.rows.labels)
    assert np.array_equal(back.rows.vector_ND, saved.rows.vector_ND)
    query = draw(1, seed=1)[0]
    assert np.array_equal(back.candidates(query, 10), saved.candidates(query, 10))


def test_sidecar_says_everything_that_a_reader_must_agree_with(path):
    """The sidecar names the space, dimension, M, ef, count, revision and hash (S-10)."""
    directory(path).save([segment()], 33)

    sidecar = json.loads(only(path, ".json").read_text())

    assert sidecar["sha256"] == hash_file(only(path, ".hnsw"))
    del sidecar["sha256"], sidecar["size"]
    assert sidecar == {
        "schema_version": 1,
        "space": "s" * 64,
        "metric": "cosine",
        "dimension": DIMENSION,
        "M": 32,
        "ef_construction": 200,
        "count": 20,
        "revision": 33,
    }


def flip(path):
    file = only(path, ".hnsw")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(path):
    file = only(path, ".hnsw")
    file.write_bytes(file.read_bytes()[:-1])


def edit(name, value):
    def _edit(path):
        file = only(path, ".json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))

    _edit.__name__ = f"edit_{name}"
    return _edit


def break_sidecar(path):
    only(path, ".json").write_text('{"schema_version": 1')


def lose_graph(path):
    only(path, ".hnsw").unlink()


DAMAGES = {
    flip: "hash differs",
    truncate: "bytes, its sidecar says",
    break_sidecar: "not a sidecar",
    lose_graph: "is missing",
    edit("count", 21): "holds 20 rows, its sidecar says 21",
    edit("schema_version", 2): "has schema_version 2, this index 1",
    edit("space", "t" * 64): "has space",
    edit("extra", 1): "not a sidecar",
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.items(), ids=[d.__name__ for d in DAMAGES])
def test_damaged_files_are_reported_and_removed(path, damage, problem, caplog):
    """A damaged segment is never loaded: the problem is named and the files go, the others stay."""
    # proves S-10
    directory(path).save([segment()], 20)
    damage(path)

    loaded = directory(path).load()

    assert loaded == []
    assert problem in caplog.records[0].problem
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"dimension": 8}, {"graph": GraphSettings(M=16)}, {"space": "other"}])
def test_files_of_another_index_are_refused(path, changes, caplog):
    """A segment of another dimension, graph or space is not loaded; both values are named."""
    directory(path).save([segment()], 20)

    loaded = directory(path, **changes).load()

    assert loaded == []
    assert " this index " in caplog.records[0].problem


def test_a_graph_without_a_sidecar_was_never_finished(path, caplog):
    """A crash before the last rename leaves nothing that is loaded, and the next load cleans up."""
    directory(path).save([segment()], 20)
    only(path, ".json").unlink()
    (path / ".staging-x").mkdir()

    loaded = directory(path).load()

    assert loaded == caplog.records == []
    assert list(path.iterdir()) == []


def test_saving_keeps_what_is_there_and_drops_what_is_not(path):
    """Only new segments are written; files of segments that are gone are removed."""
    first, second, third = (segment(seed=seed) for seed in range(3))
    kept = directory(path)
    kept.save([first, second], 1)
    before = {file: file.stat().st_mtime_ns for file in path.iterdir()}

    kept.save([second, third], 2)

    after = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    assert len(after) == 4
    assert len(after.items() & before.items()) == 2
    assert len(directory(path).load()) == 2


def test_an_index_keeps_its_segments_by_itself(path):
    """After sealing, a new index starts from the files and asks only for what they lack."""
    index = SegmentedIndex(DIMENSION, KINDS["four"], keep=directory(path).save)
    for label, row in enumerate(draw(21), start=1):
        index.update(np.array([label]), row[None], revision=label)
        settle(index)
    index.close()

    again = SegmentedIndex(DIMENSION, KINDS["four"])
    missing = again.restore(directory(path).load(), np.arange(1, 22), revision=21)

    assert missing.tolist() == [17, 18, 19, 20, 21]
    again.close()


def test_an_absent_directory_is_an_empty_one(path, caplog):
    """A first start finds no segments and no problems."""
    assert directory(path).load() == []
    assert caplog.records == []


def test_a_short_write_is_an_error(path, monkeypatch):
    """hnswlib ignores a full disk; a file that is shorter than the graph is refused and removed."""

    class Short:
        def save_index(self, path):
            Path(path).write_bytes(b"x")

        def index_file_size(self):
            return 100

    full = segment()
    with pytest.raises(OSError, match="1 bytes, expected 100"):
        directory(path).save([Segment(full.rows, Short())], 1)

    assert list(path.iterdir()) == []


@pytest.mark.slow
def test_large_segments_are_written_by_a_child(path, monkeypatch):
    """Beyond the bound a spawned child writes the file, which holds the same rows."""
    monkeypatch.setattr(files, "LARGE_BYTES", 0)
    saved = segment()
    monkeypatch.setattr(files, "_save", lambda *_: sys.exit("written here"))

    directory(path).save([saved], 20)

    monkeypatch.undo()
    (back,) = directory(path).load()
    assert np.array_equal(back.rows.vector_ND, saved.rows.vector_ND)


@pytest.mark.slow
def test_a_child_that_fails_is_an_error(path, monkeypatch):
    """A child that dies leaves no file behind and raises OSError."""
    monkeypatch.setattr(files, "LARGE_BYTES", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(OSError, match="child that writes a segment ended with 1"):
        directory(path).save([segment()], 20)

    assert list(path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("delay_ms", [0, 2, 5, 10, 20, 40])
def test_kill_while_saving_leaves_whole_files_or_none(path, delay_ms, caplog):
    """kill -9 at any moment of a save leaves segments that load whole, or nothing."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from tests.vector_index.test_files import directory, segment\n"
        "made = [segment(200, seed) for seed in range(30)]\n"
        "print('go', flush=True)\n"
        "directory(Path(sys.argv[1])).save(made, 1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        try:
            child.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            child.kill()

    loaded = directory(path).load()

    assert caplog.records == []
    assert all(len(one) == 200 for one in loaded)
