"""What the packaged heads know of photographs that nothing was trained on, beside heads of random weights.

Shapes: N photographs or graded pictures, Q queries, P pairs, S side, C colour channel, D vector.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from inference.attributes import AttributeSchema
from inference.signature import graph_file
from model_store.manifest import AttributePreprocessing, Calibration
from model_store.store import Version
from pretraining.benchmark import open_encoder
from pretraining.corpus import decode_photographs, open_photograph
from pretraining.photographs import Photograph
from trainer.artwork.calibration import fit_temperature, measure_reliability, tie_margin
from trainer.errors import InvalidData
from trainer.loop.progress import Progress
from trainer.publication.graphs import open_graph
from trainer.reports.bootstrap import proportion_right
from trainer.synthetic.degradations import TIERS, UNSEEN_FAULTS, degrade, worsen

# Photographs that are made worse, and what one is at most high or wide then.
GRADED: Final = 160
LONGEST_SIDE: Final = 320
GRADING_SEED: Final = 5
FIRST: Final = 10
# Nearer a coin than this, two pictures are tied.
TIE_PROBABILITY: Final = 0.55
# An attribute query for each label of the clothing photographs that is a word of the vocabulary.
LABEL_QUERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "T-Shirt": {"category": "티셔츠", "sleeve": "반팔"},
    "Longsleeve": {"category": "티셔츠", "sleeve": "긴팔"},
    "Pants": {"category": "팬츠", "length": "노멀"},
    "Shorts": {"category": "팬츠", "length": "하프"},
    "Dress": {"category": "드레스"},
    "Skirt": {"category": "스커트"},
    "Shirt": {"category": "셔츠"},
    "Outwear": {"category": "점퍼"},
    "Undershirt": {"category": "탑", "sleeve": "민소매"},
    "Blazer": {"category": "재킷"},
    "Hoodie": {"category": "후드티"},
    "Blouse": {"category": "블라우스"},
}
_STRENGTHS: Final = (0.0, 0.35, 0.65, 1.0)

Figures = list[dict[str, Any]]


class Baseline(NamedTuple):
    """A trained model and one of the same shape with random weights."""

    trained: Version
    untrained: Version


def calibrate_head(
    backbone: Version, head: Version, photographs: Sequence[Photograph], progress: Progress
) -> Calibration:
    """The calibration of a head for photographs: drawn pictures are easier, and would call it too sure.

    photographs: of other senders than those that the calibration is measured on.
    """
    encode, size = open_encoder(backbone)
    chosen = _spread(photographs)
    score_N = _scores(head, encode(_graded(chosen, size, progress)["tiers"]))
    temperature = fit_temperature(score_N, _ranks(len(chosen)))
    return Calibration(temperature=temperature, tie_margin=tie_margin(temperature, TIE_PROBABILITY))


def measure_head(
    backbone: Version,
    heads: Baseline,
    calibration: Calibration,
    photographs: Sequence[Photograph],
    progress: Progress,
) -> Figures:
    """Pair accuracy on photographs made worse by degrees: the same photograph, and two of them.

    Neighbouring tiers apart, and each fault that nothing was trained on; then the calibration error, of the
    trained head with `calibration`.
    """
    encode, size = open_encoder(backbone)
    chosen = _spread(photographs)
    senders = np.array([photograph.sender for photograph in chosen])
    graded = _graded(chosen, size, progress)
    vectors = {kind: encode(image_NSSC) for kind, image_NSSC in graded.items()}
    scores = [{kind: _scores(head, vector_ND) for kind, vector_ND in vectors.items()} for head in heads]
    rows = []
    for name, kind, across, most in (
        ("same photograph, all tiers", "tiers", False, 3),
        ("same photograph, neighbouring tiers", "tiers", False, 1),
        ("two photographs, all tiers", "tiers", True, 3),
        ("two photographs, neighbouring tiers", "tiers", True, 1),
        *((f"same photograph, {fault}, never trained on", fault, False, 3) for fault in UNSEEN_FAULTS),
    ):
        pair_P2 = _pairs(len(chosen), across=across, most=most)
        sender_P = senders[pair_P2[:, 0] // len(TIERS)]
        trained, untrained = (_right(each[kind], pair_P2) for each in scores)
        rows.append(
            {"name": f"pair accuracy, {name}", **asdict(proportion_right(trained, sender_P))}
            | {"untrained": float(untrained.mean())}
        )
    errors = [
        measure_reliability(each["tiers"], _ranks(len(chosen)), stated).error
        for stated, each in zip((calibration, Calibration()), scores, strict=True)
    ]
    return [*rows, {"name": "calibration error, all pairs", "value": errors[0], "untrained": errors[1]}]


def measure_attributes(
    image: Version, encoders: Baseline, photographs: Sequence[Photograph], progress: Progress
) -> Figures:
    """Share of right labels among the first ten photographs of an attribute query, over all labels.

    Labels with fewer than ten photographs among these cannot fill ten places and are not asked for.
    Raises InvalidData: if no label has ten.
    """
    encode, size = open_encoder(image)
    labelled = [photograph for photograph in photographs if photograph.label]
    counts = Counter(photograph.label for photograph in labelled)
    asked = [label for label in LABEL_QUERIES if counts[label] >= FIRST]
    if not asked:
        raise InvalidData(
            f"no label has {FIRST} photographs of held-out senders; a label is one of "
            + ", ".join(LABEL_QUERIES)
        )
    picture_ND = encode(decode_photographs(labelled, (), size, progress).image_NSSC)
    label_N = np.array([photograph.label for photograph in labelled])
    trained, untrained = (_right_labels(encoder, asked, picture_ND, label_N) for encoder in encoders)
    groups = np.repeat(asked, FIRST)
    rows: Figures = [
        {"name": "label match of attribute queries, P@10", **asdict(proportion_right(trained, groups))}
        | {"untrained": float(untrained.mean()), "chance": float(np.mean([counts[a] for a in asked]))}
    ]
    rows[0]["chance"] /= len(labelled)
    for place, label in enumerate(asked):
        part = slice(place * FIRST, (place + 1) * FIRST)
        rows.append({"name": f"P@10, {label}", "value": float(trained[part].mean())})
        rows[-1] |= {"chance": counts[label] / len(labelled)}
    return rows


def _right_labels(
    encoder: Version, asked: Sequence[str], picture_ND: np.ndarray, label_N: np.ndarray
) -> np.ndarray:
    """bool, ten places of each label asked for, one label after the other."""
    preprocessing = encoder.manifest.preprocessing
    assert isinstance(preprocessing, AttributePreprocessing)
    tensors = AttributeSchema(preprocessing).tensors([LABEL_QUERIES[label] for label in asked])
    query_QD = _run(encoder, tensors, encoder.manifest.output)
    order_QN = np.argsort(-(query_QD @ picture_ND.T), axis=1, kind="stable")[:, :FIRST]
    right_QF: np.ndarray = label_N[order_QN] == np.array(asked)[:, None]
    return right_QF.ravel()


def _graded(photographs: Sequence[Photograph], size: int, progress: Progress) -> dict[str, np.ndarray]:
    """uint8 image_NSSC by kind: every photograph in four tiers, and with each unseen fault by degrees."""
    kinds: dict[str, list[np.ndarray]] = {"tiers": [], **{fault: [] for fault in UNSEEN_FAULTS}}
    for number, photograph in enumerate(photographs):
        picture, seed = open_photograph(photograph, LONGEST_SIDE), GRADING_SEED * 1_000_003 + number
        kinds["tiers"] += [_squashed(degrade(picture, tier, seed), size) for tier in TIERS]
        for fault in UNSEEN_FAULTS:
            kinds[fault] += [_squashed(worsen(picture, {fault: s}, seed), size) for s in _STRENGTHS]
        progress("grading photographs", number + 1, len(photographs))
    return {kind: np.stack(images) for kind, images in kinds.items()}


def _spread(photographs: Sequence[Photograph]) -> Sequence[Photograph]:
    """As many as are graded, evenly from all."""
    return photographs[:: max(1, len(photographs) // GRADED)][:GRADED]


def _ranks(count: int) -> np.ndarray:
    """int64 rank_N of the tiers of so many photographs, higher is better."""
    return np.tile(np.arange(len(TIERS), 0, -1), count)


def _squashed(picture: Image.Image, size: int) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def _pairs(count: int, *, across: bool, most: int) -> np.ndarray:
    """int64 pair_P2 of (better, worse): tiers at most `most` apart; of the same photograph or of all."""
    tiers = [(a, b) for a, b in combinations(range(len(TIERS)), 2) if b - a <= most]
    first_N, second_N = np.arange(count), np.arange(count)
    if across:
        first_N, second_N = (grid.ravel() for grid in np.meshgrid(first_N, second_N))
    rows = [np.stack((first_N * len(TIERS) + a, second_N * len(TIERS) + b), 1) for a, b in tiers]
    pair_P2: np.ndarray = np.concatenate(rows)
    return pair_P2


def _right(score_N: np.ndarray, pair_P2: np.ndarray) -> np.ndarray:
    """float64: 1 where the better picture of a pair scores higher, a half where both score alike."""
    right_P: np.ndarray = np.sign(score_N[pair_P2[:, 0]] - score_N[pair_P2[:, 1]]) / 2 + 0.5
    return right_P


def _scores(head: Version, feature_ND: np.ndarray) -> np.ndarray:
    session = open_graph(head.path(graph_file(head.manifest)))
    return np.asarray(session.run({session.inputs[0].name: feature_ND})["score_B"]).ravel()


def _run(version: Version, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
    return open_graph(version.path(graph_file(version.manifest))).run(inputs)[output]
