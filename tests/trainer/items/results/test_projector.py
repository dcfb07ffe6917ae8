"""The projector's files, read by a running TensorBoard (I-3, I-5)."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import InvalidData
from trainer.items.results.projector import EMBEDDING, export_tb_projector

VECTORS = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
LABELS = {"item_id": list("abcde"), "note": ["x", "tab\there", None, "line\nbreak", "끝"]}


def test_the_files_hold_every_vector_and_label(tmp_path: Path) -> None:
    """Values come back to the bit; tabs and line breaks in labels do not break rows (I-5)."""
    folder = export_tb_projector(VECTORS, LABELS, tmp_path / "tb")

    assert (np.loadtxt(folder / "vectors.tsv", dtype=np.float32) == VECTORS).all()
    lines = (folder / "metadata.tsv").read_text().splitlines()
    assert lines == ["item_id\tnote", "a\tx", "b\ttab here", "c\t", "d\tline break", "e\t끝"]
    body = json.loads((folder / "projector_config.json").read_text())
    assert body["embeddings"] == [
        {
            "tensorName": EMBEDDING,
            "tensorShape": [5, 3],
            "tensorPath": "vectors.tsv",
            "metadataPath": "metadata.tsv",
        }
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"item_id": list("abcde")}, "needs two columns of metadata, got 1"),
        ({"item_id": list("abcde"), "note": ["x"]}, "metadata note has 1 values for 5 vectors"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: dict[str, list[str]], message: str
) -> None:
    """Nothing is written (I-3)."""
    with pytest.raises(InvalidData, match=message):
        export_tb_projector(VECTORS, labels, tmp_path / "tb")
    assert not (tmp_path / "tb").exists()


@pytest.mark.slow
def test_a_running_tensorboard_serves_the_embedding(trained) -> None:
    """Over HTTP: the embedding `routing_candidates`, its labels, and its vectors to the bit (I-5)."""
    folder, report = trained
    logs = folder / "models" / "tb_projector"
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(logs),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--load_fast",
        "false",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as board:
        try:
            assert board.stderr is not None
            address = next(
                m[1] for line in board.stderr if (m := re.search(r"(http://127\.0\.0\.1:\d+)/", line))
            )
            plugin = f"{address}/data/plugin/projector"
            runs = json.loads(_get(f"{plugin}/runs"))
            info = json.loads(_get(f"{plugin}/info?run={runs[0]}"))["embeddings"]
            query = f"run={runs[0]}&name={EMBEDDING}&num_rows=2000"
            labels = _get(f"{plugin}/metadata?{query}").decode().splitlines()
            tensor = np.frombuffer(_get(f"{plugin}/tensor?{query}"), dtype=np.float32)
        finally:
            # What it still writes nobody reads, and it may wait for that instead of ending.
            board.kill()

    assert [each["tensorName"] for each in info] == [EMBEDDING]
    assert labels[0].split("\t") == ["item_id", "category", "process", "material", "industry", "weight"]
    assert len(labels) - 1 == report.body["data"]["items"]
    assert (tensor.reshape(-1, 128) == np.load(folder / "models" / "vectors.npy")).all()


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:
        data: bytes = reply.read()
    return data
