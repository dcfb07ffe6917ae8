"""What a space of pictures knows: labels of neighbours, attributes, degrees of worsening.

Shapes: N pictures, S side, C colour channel, D vector.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from pretraining.config import ExamSettings
from pretraining.corpus import (
    ATTRIBUTES,
    DrawnGarments,
    LabelledPictures,
    decode_photographs,
    draw_garments,
    open_photograph,
)
from pretraining.descriptors import colour_histograms, oriented_gradients
from pretraining.grading import GradedPictures, grade_pictures, pairs_across, pairs_within
from pretraining.neighbours import vote, vote_across
from pretraining.photographs import PhotographSplit, commonest_labels
from pretraining.probes import probe_attributes, probe_order
from trainer.progress import Progress
from trainer.reports.bootstrap import Share, share_right
from trainer.synthetic.degradations import NAMED_FAULTS, UNSEEN_FAULTS
from trainer.synthetic.paintings import artist, paint

LONGEST_SIDE = 320
# Of what is drawn for exams and for nothing else.
GARMENT_SEED, GRADING_SEED, PAINTING_SEED = 77, 5, 99

Vectors = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """Everything that a space is asked.

    No sender, garment or source of what is asked about was trained on. The gallery was, and so were the
    photographs that the order probe learns from.
    """

    gallery: LabelledPictures
    test: LabelledPictures
    test_senders: np.ndarray
    garments: DrawnGarments
    grading: GradedPictures
    graded: Mapping[str, GradedPictures]
    graded_senders: np.ndarray
    pairs: int


def set_exam(split: PhotographSplit, size: int, settings: ExamSettings, progress: Progress) -> Exam:
    """The exam of the test senders at one size of pictures; neighbours come from all others.

    Raises InvalidData: naming a photograph that cannot be read.
    """
    members = (*split.train, *split.val)
    labels = commonest_labels((*members, *split.test))
    graded_from = split.test[: settings.sources]
    test_pictures, val_pictures = (
        [open_photograph(one, LONGEST_SIDE) for one in part]
        for part in (graded_from, split.val[: settings.sources])
    )
    grading_from = (*val_pictures, *_paintings(settings.paintings))
    return Exam(
        gallery=decode_photographs(members, labels, size, progress),
        test=decode_photographs(split.test, labels, size, progress),
        test_senders=np.array([one.sender for one in split.test]),
        garments=draw_garments(settings.garments, GARMENT_SEED, size, progress),
        grading=grade_pictures(grading_from, tuple(NAMED_FAULTS), size, GRADING_SEED, progress),
        graded={
            "seen": grade_pictures(test_pictures, tuple(NAMED_FAULTS), size, GRADING_SEED + 1, progress),
            **{
                fault: grade_pictures(test_pictures, (fault,), size, GRADING_SEED + 2, progress)
                for fault in UNSEEN_FAULTS
            },
        },
        graded_senders=np.array([one.sender for one in graded_from]),
        pairs=settings.pairs,
    )


def sit_exam(exam: Exam, vectors: Vectors) -> dict[str, Any]:
    """The figures of a space. `vectors`: uint8 image_NSSC → float32 vector_ND."""
    gallery_ND, test_ND = vectors(exam.gallery.image_NSSC), vectors(exam.test.image_NSSC)
    return {
        "labels": {name: asdict(share) for name, share in _labels(exam, gallery_ND, test_ND).items()},
        "attributes": {
            probe.field: {**asdict(probe.right), "commonest": probe.commonest}
            for probe in probe_attributes(
                vectors(exam.garments.image_NSSC), exam.garments.word_NF, ATTRIBUTES
            )
        },
        "order": _order(exam, vectors),
    }


def _labels(exam: Exam, gallery_ND: np.ndarray, test_ND: np.ndarray) -> dict[str, Share]:
    gallery_ND, test_ND = _unit(gallery_ND), _unit(test_ND)
    in_gallery, in_test = exam.gallery.label_N >= 0, exam.test.label_N >= 0
    test_ND, label_N, sender_N = test_ND[in_test], exam.test.label_N[in_test], exam.test_senders[in_test]
    voted_N = vote(gallery_ND[in_gallery], exam.gallery.label_N[in_gallery], test_ND)
    across_N = vote_across(test_ND, label_N, sender_N)
    return {
        "neighbours_in_gallery": share_right(voted_N == label_N, sender_N),
        "neighbours_among_held_out": share_right(across_N == label_N, sender_N),
    }


def _order(exam: Exam, vectors: Vectors) -> dict[str, Any]:
    train_ND = vectors(exam.grading.image_NSSC)
    train_P2 = pairs_across(exam.grading, exam.pairs, seed=1)
    found: dict[str, Any] = {}
    for name, graded in exam.graded.items():
        test_ND = vectors(graded.image_NSSC)
        for way, pair_P2 in (
            ("across", pairs_across(graded, exam.pairs, seed=2)),
            ("within", pairs_within(graded)),
        ):
            senders = exam.graded_senders[graded.source_N[pair_P2[:, 0]]]
            found[f"{name}_{way}"] = asdict(probe_order(train_ND, train_P2, test_ND, pair_P2, senders))
    return found


def _paintings(count: int) -> list[Image.Image]:
    return [paint(artist(PAINTING_SEED, work // 3), PAINTING_SEED, work) for work in range(count)]


def _unit(vector_ND: np.ndarray) -> np.ndarray:
    unit_ND: np.ndarray = vector_ND / np.maximum(np.linalg.norm(vector_ND, axis=1, keepdims=True), 1e-12)
    return unit_ND


def descriptor_spaces() -> dict[str, Vectors]:
    """The spaces without a network that every model stands beside."""
    return {
        "colour histogram": colour_histograms,
        "HOG": oriented_gradients,
        "HOG + histogram": lambda images: np.concatenate(
            (oriented_gradients(images), colour_histograms(images)), axis=1
        ),
    }
