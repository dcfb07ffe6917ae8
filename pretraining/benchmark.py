"""What a space of pictures knows: labels of neighbours, attributes, degrees of worsening.

Every space is measured beside descriptors without a network, on senders that no encoder is trained on.
Shapes: N pictures, G of a gallery, Q queries, S side, C colour channel, D vector, F fields, P pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from inference.signature import graph_file
from model_store.manifest import ImagePreprocessing
from model_store.store import Version
from pretraining.config import BenchmarkSettings
from pretraining.corpus import (
    ATTRIBUTES,
    DrawnGarments,
    LabelledPictures,
    decode_photographs,
    draw_garments,
    open_photograph,
)
from pretraining.descriptors import colour_histograms, oriented_gradients, unit_vectors
from pretraining.photographs import (
    Photograph,
    PhotographSplit,
    commonest_labels,
    photographs_digest,
    split_photographs,
)
from pretraining.worsening import GradedPictures, grade_pictures, pairs_across, pairs_within
from trainer.errors import InvalidData
from trainer.loop.progress import Progress
from trainer.publication.graphs import open_graph
from trainer.reports.bootstrap import Proportion, proportion_right
from trainer.synthetic.degradations import NAMED_FAULTS, UNSEEN_FAULTS
from trainer.synthetic.paintings import draw_painting

LONGEST_SIDE = 320
NEIGHBOURS = 5
# Seeds of what is drawn for the benchmark and for nothing else.
GARMENT_SEED, GRADING_SEED, PAINTING_SEED = 77, 5, 99
# Of the garments, to fit the linear readers of attributes; the others are asked about.
FITTED_SHARE = 2 / 3
_RIDGE, _LOGISTIC = 1e-1, 1e-2
_BATCH = 32

# uint8 image_NSSC → float32 vector_ND.
Encode = Callable[[np.ndarray], np.ndarray]
# Spaces without a network: the baselines of every model.
DESCRIPTORS: Mapping[str, Encode] = {
    "colour histogram": colour_histograms,
    "HOG": oriented_gradients,
    "HOG + histogram": lambda images: np.hstack((oriented_gradients(images), colour_histograms(images))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The questions that a space is asked.

    The senders, garments and sources asked about were not trained on. The gallery was, and so were the
    photographs that the order probe learns from.
    """

    gallery: LabelledPictures
    test: LabelledPictures
    test_senders: np.ndarray
    garments: DrawnGarments
    grading: GradedPictures
    graded: Mapping[str, GradedPictures]
    graded_senders: np.ndarray
    pair_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeProbe:
    """How often a linear reader names the right word, and how often the commonest word is right."""

    field: str
    right: Proportion
    commonest: float


def build_benchmark(
    split: PhotographSplit, size: int, settings: BenchmarkSettings, progress: Progress
) -> Benchmark:
    """The benchmark of the test senders at one size of pictures; neighbours come from all others.

    Raises InvalidData: if a photograph cannot be read, naming it.
    """
    labels = commonest_labels((*split.members, *split.test))
    graded_from = split.test[: settings.sources]
    sources = [open_photograph(photograph, LONGEST_SIDE) for photograph in graded_from]
    grading_from = [
        *(open_photograph(photograph, LONGEST_SIDE) for photograph in split.val[: settings.sources]),
        *(draw_painting(PAINTING_SEED, work) for work in range(settings.paintings)),
    ]

    def graded(pictures: list[Image.Image], faults: Sequence[str], seed: int) -> GradedPictures:
        return grade_pictures(pictures, faults, size, GRADING_SEED + seed, progress)

    return Benchmark(
        gallery=decode_photographs(split.members, labels, size, progress),
        test=decode_photographs(split.test, labels, size, progress),
        test_senders=np.array([photograph.sender for photograph in split.test]),
        garments=draw_garments(settings.garments, GARMENT_SEED, size, progress),
        grading=graded(grading_from, tuple(NAMED_FAULTS), 0),
        graded={
            "seen": graded(sources, tuple(NAMED_FAULTS), 1),
            **{fault: graded(sources, (fault,), 2) for fault in UNSEEN_FAULTS},
        },
        graded_senders=np.array([photograph.sender for photograph in graded_from]),
        pair_count=settings.pairs,
    )


def run_benchmark(benchmark: Benchmark, encode: Encode) -> dict[str, Any]:
    """The figures of a space: shares of right answers with their intervals."""
    gallery_ND, test_ND = encode(benchmark.gallery.image_NSSC), encode(benchmark.test.image_NSSC)
    probes = probe_attributes(encode(benchmark.garments.image_NSSC), benchmark.garments.word_NF, ATTRIBUTES)
    return {
        "labels": _labels(benchmark, gallery_ND, test_ND),
        "attributes": {
            probe.field: {**asdict(probe.right), "commonest": probe.commonest} for probe in probes
        },
        "order": _order(benchmark, encode),
    }


def evaluate_version(
    version: Version,
    photographs: Sequence[Photograph],
    seed: int,
    settings: BenchmarkSettings,
    progress: Progress,
) -> dict[str, Any]:
    """The figures of a published image model on the senders that an encoder of that seed does not train on.

    Raises InvalidData: if the model takes no pictures of one square size.
    """
    encode, size = open_encoder(version)
    benchmark = build_benchmark(split_photographs(photographs, seed), size, settings, progress)
    return run_benchmark(benchmark, encode)


def open_encoder(version: Version) -> tuple[Encode, int]:
    """What encodes pictures with a published image model, and the side of the pictures that it takes.

    Raises InvalidData: if it takes something else than squares of pixels.
    """
    preprocessing = version.manifest.preprocessing
    if not isinstance(preprocessing, ImagePreprocessing) or preprocessing.height != preprocessing.width:
        raise InvalidData(f"{version} takes no square pictures")
    session = open_graph(version.path(graph_file(version.manifest)))
    name, output = session.inputs[0].name, version.manifest.output

    def encode(image_NSSC: np.ndarray) -> np.ndarray:
        starts = range(0, len(image_NSSC), _BATCH)
        return np.concatenate([session.run({name: image_NSSC[i : i + _BATCH]})[output] for i in starts])

    return encode, preprocessing.height


def leakage_warnings(version: Version, photographs: Sequence[Photograph], seed: int) -> tuple[str, ...]:
    """Why the version may have been trained on senders that are held out here; () if it was not.

    A split follows from the table and the seed. With another of either, a sender may be on another side.
    """
    provenance, digest, warnings = version.manifest.provenance, photographs_digest(photographs), []
    if provenance.data_version is not None and provenance.data_version != digest:
        warnings.append(
            f"{version} was trained on photographs {provenance.data_version[:12]}, these are {digest[:12]}: "
            "senders that are in both may have been trained on"
        )
    if provenance.seed not in (None, seed):
        warnings.append(f"{version} was split by seed {provenance.seed}, here it is {seed}")
    return tuple(warnings)


def vote(
    gallery_GD: np.ndarray, label_G: np.ndarray, query_QD: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """int64 label_Q: the commonest label of the nearest by inner product; of equal votes, the nearer label.

    Raises ValueError: if the gallery is smaller than the number of neighbours.
    """
    if len(gallery_GD) < neighbours:
        raise ValueError(f"gallery holds {len(gallery_GD)} pictures, asked for {neighbours} neighbours")
    similarity_QG = query_QD @ gallery_GD.T
    near_QK = np.argpartition(-similarity_QG, neighbours - 1, axis=1)[:, :neighbours]
    votes_QL = np.zeros((len(query_QD), int(label_G.max()) + 1))
    rows = np.arange(len(query_QD))
    for near_Q in near_QK.T:
        # Similarity breaks ties and never outweighs a vote.
        votes_QL[rows, label_G[near_Q]] += 1 + 1e-3 * np.clip(similarity_QG[rows, near_Q], -1, 1)
    label_Q: np.ndarray = votes_QL.argmax(axis=1)
    return label_Q


def vote_across(vector_ND: np.ndarray, label_N: np.ndarray, sender_N: np.ndarray) -> np.ndarray:
    """int64 label_N: as `vote`, with the pictures of all other senders as the gallery of each sender."""
    voted_N = np.empty(len(label_N), np.int64)
    for sender in np.unique(sender_N):
        own_N = sender_N == sender
        voted_N[own_N] = vote(vector_ND[~own_N], label_N[~own_N], vector_ND[own_N])
    return voted_N


def probe_attributes(
    vector_ND: np.ndarray, word_NF: np.ndarray, fields: Sequence[str]
) -> tuple[AttributeProbe, ...]:
    """A ridge reader of each field, fitted on the first two thirds of the garments and asked about the rest.

    `word_NF`: the number of each word, −1 where a garment has none; such garments are left out.
    """
    probes = []
    for column, field in enumerate(fields):
        has_N = word_NF[:, column] >= 0
        vector_MD, word_M = vector_ND[has_N], word_NF[has_N, column]
        cut = int(len(word_M) * FITTED_SHARE)
        reader = RidgeClassifier(alpha=_RIDGE).fit(vector_MD[:cut], word_M[:cut])
        right_M = reader.predict(vector_MD[cut:]) == word_M[cut:]
        commonest = float(np.mean(word_M[cut:] == np.bincount(word_M[:cut]).argmax()))
        right = proportion_right(right_M, np.arange(len(right_M)).astype(str))
        probes.append(AttributeProbe(field=field, right=right, commonest=commonest))
    return tuple(probes)


def probe_order(
    train_ND: np.ndarray,
    train_pairs_P2: np.ndarray,
    test_ND: np.ndarray,
    test_pairs_P2: np.ndarray,
    sources_P: np.ndarray,
) -> Proportion:
    """The share of test pairs (better, worse) that a linear reader of vectors puts in the right order.

    The reader is a logistic regression on differences of standardised vectors. `sources_P`: source of the
    better picture of each test pair; the interval resamples sources.
    """
    scaler = StandardScaler().fit(train_ND)
    train_ND, test_ND = scaler.transform(train_ND), scaler.transform(test_ND)
    gap_PD = train_ND[train_pairs_P2[:, 0]] - train_ND[train_pairs_P2[:, 1]]
    # Both directions, so that the reader has no side that it prefers.
    both_PD = np.concatenate((gap_PD, -gap_PD))
    side_P = np.repeat((1, 0), len(gap_PD))
    reader = LogisticRegression(C=_LOGISTIC, fit_intercept=False, max_iter=500).fit(both_PD, side_P)
    test_gap_PD = test_ND[test_pairs_P2[:, 0]] - test_ND[test_pairs_P2[:, 1]]
    return proportion_right(reader.decision_function(test_gap_PD) > 0, sources_P)


def _labels(benchmark: Benchmark, gallery_ND: np.ndarray, test_ND: np.ndarray) -> dict[str, Any]:
    gallery, test = benchmark.gallery, benchmark.test
    in_gallery, in_test = gallery.label_N >= 0, test.label_N >= 0
    gallery_ND, test_ND = unit_vectors(gallery_ND), unit_vectors(test_ND)[in_test]
    label_N, sender_N = test.label_N[in_test], benchmark.test_senders[in_test]
    voted = {
        "neighbours_in_gallery": vote(gallery_ND[in_gallery], gallery.label_N[in_gallery], test_ND),
        "neighbours_among_held_out": vote_across(test_ND, label_N, sender_N),
    }
    return {name: asdict(proportion_right(voted_N == label_N, sender_N)) for name, voted_N in voted.items()}


def _order(benchmark: Benchmark, encode: Encode) -> dict[str, Any]:
    train_ND = encode(benchmark.grading.image_NSSC)
    train_P2 = pairs_across(benchmark.grading, benchmark.pair_count, seed=1)
    shares: dict[str, Any] = {}
    for name, graded in benchmark.graded.items():
        test_ND = encode(graded.image_NSSC)
        across_P2 = pairs_across(graded, benchmark.pair_count, seed=2)
        for kind, pair_P2 in (("across", across_P2), ("within", pairs_within(graded))):
            senders = benchmark.graded_senders[graded.source_N[pair_P2[:, 0]]]
            shares[f"{name}_{kind}"] = asdict(probe_order(train_ND, train_P2, test_ND, pair_P2, senders))
    return shares
