"""The score head: backbone features into scores and embeddings.

Legend: N candidates, B rows of one run, D feature components, E embedding components.

Scores are the same bits whatever the company: rows are run in blocks of exactly `BLOCK_ROWS`, the
last one filled up with zeros. On CPUs a plain batch was measured bit-equal too, but a kernel chosen
by batch size (as GPU libraries do) need not be; 16 rows cost a lone row 0.1 ms and a thousand rows
nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.encoder import check_vectors
from inference.errors import BadOutput, RefusedModel
from inference.loading import LoadedModel
from model_store.manifest import Calibration, VectorPreprocessing

BLOCK_ROWS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the head says of N candidates.

    scores: float32, shape (N,), higher is better. embeddings: float32, shape (N, E).
    bad: the rows whose output may not be told, with the reason.
    """

    scores: np.ndarray
    embeddings: np.ndarray
    bad: dict[int, BadOutput]


class Head:
    """A loaded `artwork-head`: its main output is the embedding, and one output is named `score…`.

    Raises RefusedModel: for a model of another make, saying what it has.
    """

    def __init__(self, model: LoadedModel) -> None:
        manifest = model.manifest
        names = [spec.name for spec in model.session.outputs]
        scores = [name for name in names if name.startswith("score")]
        if not isinstance(manifest.preprocessing, VectorPreprocessing) or not manifest.accepts:
            raise RefusedModel(f"{model.version} is no head: it names no space whose vectors it takes")
        if len(scores) != 1 or scores[0] == manifest.output:
            raise RefusedModel(
                f"{model.version} is no head: expected one output score… beside {manifest.output}, "
                f"found {', '.join(names)}"
            )
        self.model = model
        self.version = model.version
        self.accepts = manifest.accepts
        self.dimension = manifest.preprocessing.dimension
        self.calibration = manifest.calibration or Calibration()
        self._input = model.session.inputs[0].name
        self._score, self._embedding = scores[0], manifest.output

    @property
    def backbone_space_id(self) -> str:
        """The space that the head was trained on, in which pictures are embedded."""
        return self.accepts[0]

    def judge(self, feature_ND: np.ndarray) -> Judgement:
        """Scores and embeddings of features, float32, shape (N, D), N 1 or more. Blocks the thread.

        Raises InferenceError: when the graph cannot be run.
        """
        starts = range(0, len(feature_ND), BLOCK_ROWS)
        blocks = [self._run(feature_ND[start : start + BLOCK_ROWS]) for start in starts]
        score_N = np.concatenate([score_B for score_B, _ in blocks])
        embedding_NE = np.concatenate([embedding_BE for _, embedding_BE in blocks])
        return Judgement(scores=score_N, embeddings=embedding_NE, bad=self._bad(score_N, embedding_NE))

    def _run(self, feature_BD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = len(feature_BD)
        block_BD = np.zeros((BLOCK_ROWS, self.dimension), np.float32)
        block_BD[:rows] = feature_BD
        outputs = self.model.session.run({self._input: block_BD})
        return outputs[self._score].reshape(BLOCK_ROWS)[:rows], outputs[self._embedding][:rows]

    def _bad(self, score_N: np.ndarray, embedding_NE: np.ndarray) -> dict[int, BadOutput]:
        unfit = np.flatnonzero(~np.isfinite(score_N))
        bad = {int(row): BadOutput("the score is not finite") for row in unfit}
        found = check_vectors(embedding_NE, self.model.manifest)
        return bad | {row: error for row, error in enumerate(found) if error is not None}
