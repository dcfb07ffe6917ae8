"""The HNSW index of a run: built, extended, saved, measured (I-3, I-4, I-7)."""

import errno
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pytest

from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.items.config import HnswSettings
from trainer.items.results.index import (
    exact_neighbours,
    extend_hnsw_index,
    load_hnsw_index,
    measure_recall,
    save_hnsw_index,
    train_hnsw_index,
)

PARAMS = HnswSettings(threads=1)


def _unit(count: int, seed: int = 1) -> np.ndarray:
    vector_ND = np.random.default_rng(seed).standard_normal((count, 16), dtype=np.float32)
    return np.asarray(vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True))


def test_the_index_has_the_parameters_and_finds_the_exact_neighbours() -> None:
    """M 32, ef_construction 200, cosine; recall against exact search is 1 on 500 vectors (I-4)."""
    vector_ND = _unit(500)

    index = train_hnsw_index(vector_ND, PARAMS)

    assert (index.M, index.ef_construction, index.space) == (32, 200, "cosine")
    assert measure_recall(index, vector_ND, np.arange(500), PARAMS, 42).recall > 0.99


def test_the_same_vectors_give_the_same_file_on_one_thread(tmp_path: Path) -> None:
    """With one thread and one seed the graph is a function of the vectors (Q-5)."""
    for name in ("a", "b"):
        save_hnsw_index(train_hnsw_index(_unit(300), PARAMS, seed=7), tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (_unit(5).astype(np.float64), "vectors are float64"),
        (_unit(5)[0], r"vectors are float32 \(16,\)"),
        (np.where(np.arange(5)[:, None] == 3, np.nan, _unit(5)), "row 3 of the vectors is not finite"),
    ],
)
def test_vectors_of_another_form_are_refused(vectors: np.ndarray, message: str) -> None:
    """Other types and shapes, and a row that is not finite (I-3, I-7)."""
    with pytest.raises(InvalidData, match=message):
        train_hnsw_index(vectors, PARAMS)


def test_an_extended_index_finds_new_items_and_no_removed_ones(tmp_path: Path) -> None:
    """New labels are found, deleted ones never again, after saving and loading too (I-4)."""
    vector_ND = _unit(400)
    index = train_hnsw_index(vector_ND[:300], PARAMS)
    save_hnsw_index(index, tmp_path / "index.bin")
    loaded = load_hnsw_index(tmp_path / "index.bin", 16, 300)

    extend_hnsw_index(loaded, vector_ND[300:], np.arange(300, 400), np.array([0, 1]), PARAMS)
    save_hnsw_index(loaded, tmp_path / "more.bin")
    again = load_hnsw_index(tmp_path / "more.bin", 16, 400)
    again.set_ef(100)

    labels, _ = again.knn_query(vector_ND, k=1)
    assert (labels[2:, 0] == np.arange(2, 400)).all()
    assert not {0, 1} & set(labels[:, 0].tolist())


def test_a_failed_save_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hnswlib notices no full disk; the length of the file does (I-7)."""

    class HalfWritten:
        def __init__(self, index: Any) -> None:
            self.index_file_size = index.index_file_size

        def save_index(self, path: str) -> None:
            Path(path).write_bytes(b"half")

    path = tmp_path / "hnsw_index.bin"
    path.write_bytes(b"the index before")

    with pytest.raises(OSError, match=r"4 of \d+ bytes were written") as failure:
        save_hnsw_index(HalfWritten(train_hnsw_index(_unit(10), PARAMS)), path)

    assert failure.value.errno == errno.ENOSPC
    assert failure.value.filename == str(path)
    assert path.read_bytes() == b"the index before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_no_folder_is_an_error_with_its_name(tmp_path: Path) -> None:
    """A place that cannot be written is named (I-7)."""
    (tmp_path / "models").write_text("a file")

    with pytest.raises(OSError, match=r"hnsw_index.bin"):
        save_hnsw_index(train_hnsw_index(_unit(10), PARAMS), tmp_path / "models" / "hnsw_index.bin")


def test_an_index_of_another_number_of_vectors_is_refused(tmp_path: Path) -> None:
    """Both numbers are named (I-4)."""
    save_hnsw_index(train_hnsw_index(_unit(10), PARAMS), tmp_path / "i.bin")

    with pytest.raises(InvalidCheckpoint, match=r"holds 10 vectors, expected 11"):
        load_hnsw_index(tmp_path / "i.bin", 16, 11)


def test_exact_neighbours_are_those_of_a_full_sort() -> None:
    """The pieces of the exact search give what one matrix gives (I-4)."""
    vector_ND = _unit(300)

    near_QK = exact_neighbours(vector_ND, vector_ND[:20], 5)

    assert (near_QK == np.argsort(-(vector_ND[:20] @ vector_ND.T), axis=1)[:, :5]).all()


def test_rows_fit_annoy_and_hnswlib_alike(trained) -> None:
    """Published rows are contiguous float32, which both libraries take as they are (I-2)."""
    folder, _ = trained
    vector_ND = np.load(folder / "models" / "vectors.npy", mmap_mode="r")
    index = hnswlib.Index("cosine", vector_ND.shape[1])
    index.init_index(len(vector_ND))

    index.add_items(vector_ND)

    assert vector_ND.dtype == np.dtype("<f4")
    assert vector_ND.flags.c_contiguous
    # What annoy's add_item takes: a sequence of as many Python floats as dimensions.
    assert len([float(value) for value in vector_ND[0]]) == vector_ND.shape[1]
