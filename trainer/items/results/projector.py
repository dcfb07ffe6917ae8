"""Vectors and labels for TensorBoard's projector and for the standalone one (I-3, I-5)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_store.durable import write_text
from trainer.errors import InvalidData

EMBEDDING = "routing_candidates"
VECTORS_FILE, LABELS_FILE = "vectors.tsv", "metadata.tsv"
# The projector of TensorBoard reads a config of its own form.
CONFIG_FILE, TENSORBOARD_FILE = "projector_config.json", "projector_config.pbtxt"
_PIECE = 10_000
_SPACES = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def export_tb_projector(vectors: np.ndarray, metadata: Mapping[str, Sequence[Any]], output_dir: Path) -> Path:
    """Write vectors, float32 (N, D), and the columns of `metadata`, N values each, and return `output_dir`.

    TensorBoard shows them as the embedding `routing_candidates` with `--logdir output_dir`. metadata: at
    least two columns, since TensorBoard reads the header of no fewer.
    Raises InvalidData: for fewer columns, or a column of another length, naming it.
    """
    if len(metadata) < 2:
        raise InvalidData(
            f"the projector needs two columns of metadata, got {len(metadata)}: add columns.labels"
        )
    for name, values in metadata.items():
        if len(values) != len(vectors):
            raise InvalidData(f"metadata {name} has {len(values)} values for {len(vectors)} vectors")
    output_dir.mkdir(parents=True, exist_ok=True)
    _write_vectors(vectors, output_dir / VECTORS_FILE)
    _write_labels(metadata, output_dir / LABELS_FILE)
    write_text(output_dir / CONFIG_FILE, _config(vectors.shape))
    write_text(
        output_dir / TENSORBOARD_FILE,
        f'embeddings {{\n  tensor_name: "{EMBEDDING}"\n  tensor_path: "{VECTORS_FILE}"\n'
        f'  metadata_path: "{LABELS_FILE}"\n}}\n',
    )
    return output_dir


def _write_vectors(vectors: np.ndarray, path: Path) -> None:
    with path.open("w", encoding="ascii") as stream:
        for start in range(0, len(vectors), _PIECE):
            # Nine digits are a float32 to the last bit.
            np.savetxt(stream, vectors[start : start + _PIECE], fmt="%.9g", delimiter="\t")


def _write_labels(metadata: Mapping[str, Sequence[Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write("\t".join(map(_cell, metadata)) + "\n")
        for row in zip(*metadata.values(), strict=True):
            stream.write("\t".join(map(_cell, row)) + "\n")


def _cell(value: object) -> str:
    return "" if value is None else str(value).translate(_SPACES)


def _config(shape: tuple[int, ...]) -> str:
    embedding = {
        "tensorName": EMBEDDING,
        "tensorShape": list(shape),
        "tensorPath": VECTORS_FILE,
        "metadataPath": LABELS_FILE,
    }
    return json.dumps({"embeddings": [embedding]}, indent=2) + "\n"
