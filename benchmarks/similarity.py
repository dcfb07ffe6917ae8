"""Whether similar means of one kind or of one colour: `python -m benchmarks.similarity --photographs DIR`

DIR holds `attributes.csv`, with the columns image, category and colour, and the photographs in `images`; the
packaged image model embeds them. Half of them, drawn with a seed, choose what a method needs to know of
the space; the others ask each other, and all figures are theirs. Agreement is the share of the ten nearest
with the query's own category, or colour. Each method stands beside plain cosine with the 95 % interval of the
difference over photographs, and beside chance.
Shapes: N photographs, D vector, K directions.
"""

import argparse
import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import defaults
from benchmarks.report import Figures, Skipped, add_photographs, run
from inference.encoder import encode, open_encoder
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.manifest import AttributePreprocessing
from model_store.store import ModelStore, Version
from trainer.features import vectors_of_files
from trainer.workspace import Workspace

VARIABLE: Final = "ATELIER_TEST_CATALOGUE"
COUNT: Final = 10
SEED: Final = 42
WHITENED: Final = 256
KINDS: Final = ("category", "colour")


def measure(options: argparse.Namespace) -> Figures:
    """The figures. Raises Skipped: without photographs."""
    if options.photographs is None:
        raise Skipped(f"no photographs: give --photographs DIR or set {VARIABLE}")
    with (options.photographs / "attributes.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    order = np.random.default_rng(SEED).permutation(len(table))[: 600 if options.quick else None]
    rows = [table[number] for number in order]
    store = ModelStore.at(defaults.STORE)
    paths = [options.photographs / "images" / row["image"] for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(store=store, out=Path(folder), cache=Path(folder))
        vector_ND = unit(vectors_of_files(paths, store.resolve("fashion-image"), space))
    half = len(rows) // 2
    labels = {kind: np.array([row[kind] for row in rows[half:]]) for kind in KINDS}
    colour_KD = _directions(store.resolve("fashion-attributes"), store, "colour")
    spaces = methods(vector_ND[:half], vector_ND[half:], colour_KD)
    return {
        "photographs": len(rows) - half,
        **{f"chance.{kind}": chance(names) for kind, names in labels.items()},
        **{name: compare(space, spaces["cosine"], labels) for name, space in spaces.items()},
    }


def unit(vector_ND: np.ndarray) -> np.ndarray:
    """float64 rows of norm 1."""
    rows = vector_ND.astype(np.float64)
    scaled: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def methods(fitted_ND: np.ndarray, asked_ND: np.ndarray, colour_KD: np.ndarray) -> dict[str, np.ndarray]:
    """The photographs that ask, by space: as they are, centred, half whitened, with half of the colour."""
    mean_D = fitted_ND.mean(axis=0)
    _, scale_K, basis_KD = np.linalg.svd(fitted_ND - mean_D, full_matrices=False)
    kept = min(WHITENED, len(scale_K))
    whitened = (asked_ND - mean_D) @ basis_KD[:kept].T / np.sqrt(scale_K[:kept])
    spaces = {
        "cosine": asked_ND,
        "centred": asked_ND - mean_D,
        "half whitened": whitened,
        "half of the colour": asked_ND - 0.5 * (asked_ND @ colour_KD.T) @ colour_KD,
    }
    return {name: unit(rows) for name, rows in spaces.items()}


def compare(space_ND: np.ndarray, plain_ND: np.ndarray, labels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Agreement of each kind in a space, and how much it is above that of plain cosine."""
    figures: dict[str, Any] = {}
    for kind, names in labels.items():
        here_N, there_N = agreement(space_ND, names), agreement(plain_ND, names)
        draws = np.random.default_rng(SEED).integers(0, len(here_N), (1_000, len(here_N)))
        low, high = np.percentile((here_N - there_N)[draws].mean(axis=1), [2.5, 97.5])
        figures[kind] = round(float(here_N.mean()), 4)
        figures[f"{kind} above cosine"] = f"{low:+.4f} to {high:+.4f}"
    return figures


def agreement(space_ND: np.ndarray, names: np.ndarray) -> np.ndarray:
    """For each photograph the share of its ten nearest that have its own name."""
    similarity_NN = space_ND @ space_ND.T
    np.fill_diagonal(similarity_NN, -2.0)
    near_NK = np.argpartition(-similarity_NN, COUNT, axis=1)[:, :COUNT]
    shares: np.ndarray = (names[near_NK] == names[:, None]).mean(axis=1)
    return shares


def chance(names: np.ndarray) -> float:
    """The agreement of photographs drawn at random."""
    _, counts = np.unique(names, return_counts=True)
    return round(float(((counts / len(names)) ** 2).sum()), 4)


def _directions(version: Version, store: ModelStore, field: str) -> np.ndarray:
    """An orthonormal basis of what sets the words of a field apart in the space, by the packaged encoder."""
    model = load_model(store, version, session=SessionSettings(), stamps=None)
    assert isinstance(model.manifest.preprocessing, AttributePreprocessing)
    known = {each.name: each.vocabulary for each in model.manifest.preprocessing.fields}
    rows = encode(open_encoder(model), [{field: word} for word in known[field]])
    vector_ND = unit(np.stack([row for row in rows if isinstance(row, np.ndarray)]))
    _, scale_K, basis_KD = np.linalg.svd(vector_ND - vector_ND.mean(axis=0), full_matrices=False)
    basis: np.ndarray = basis_KD[scale_K > 0.1 * scale_K[0]]
    return basis


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_photographs(parser, VARIABLE, "attributes.csv")


if __name__ == "__main__":
    run("similarity", __doc__ or "", measure, _add_options)
