"""Published image models: their vectors, their figures, and whether they have seen who examines them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.signature import graph_file
from model_store.manifest import ImagePreprocessing
from model_store.store import Version
from pretraining.config import ExamSettings
from pretraining.evaluation import Vectors, set_exam, sit_exam
from pretraining.photographs import Photograph, photographs_digest, split_photographs
from trainer.errors import InvalidData
from trainer.progress import Progress
from trainer.publication.graphs import open_graph


def published_vectors(version: Version) -> tuple[Vectors, int]:
    """The vectors of a published image model, and the side of the pictures that it takes.

    Raises InvalidData: when it takes something else than squares of pixels.
    """
    preprocessing = version.manifest.preprocessing
    if not isinstance(preprocessing, ImagePreprocessing) or preprocessing.height != preprocessing.width:
        raise InvalidData(f"{version} takes no square pictures")
    session = open_graph(version.path(graph_file(version.manifest)))
    name, output = session.inputs[0].name, version.manifest.output

    def vectors(image_NSSC: np.ndarray) -> np.ndarray:
        starts = range(0, len(image_NSSC), 32)
        return np.concatenate([session.run({name: image_NSSC[i : i + 32]})[output] for i in starts])

    return vectors, preprocessing.height


def examine_version(
    version: Version,
    photographs: Sequence[Photograph],
    seed: int,
    settings: ExamSettings,
    progress: Progress,
) -> dict[str, Any]:
    """The figures of a published image model on the senders that an encoder of that seed does not train on.

    Raises InvalidData: when the model takes no pictures of one square size.
    """
    vectors, size = published_vectors(version)
    exam = set_exam(split_photographs(photographs, seed), size, settings, progress)
    return sit_exam(exam, vectors)


def strangers(version: Version, photographs: Sequence[Photograph], seed: int) -> tuple[str, ...]:
    """Why the senders that are held out here may be ones that the version was trained on; () when none is.

    A split follows from the table and the seed. With another of either, a sender may be on another side.
    """
    provenance, found = version.manifest.provenance, []
    digest = photographs_digest(photographs)
    if provenance.data_version is not None and provenance.data_version != digest:
        found.append(
            f"{version} was trained on photographs {provenance.data_version[:12]}, these are {digest[:12]}: "
            "senders that are in both may have been trained on"
        )
    if provenance.seed is not None and provenance.seed != seed:
        found.append(f"{version} was split by seed {provenance.seed}, here it is {seed}")
    return tuple(found)
