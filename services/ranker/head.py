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

    scores: float32, shape (N,), higher is better. embeddings: float32, shape (N, E). uncertainties: float32,
    shape (N,), the standard deviation of each score; None from a head that states none.
    bad: the rows whose output may not be told, with the reason.
    """

    scores: np.ndarray
    embeddings: np.ndarray
    uncertainties: np.ndarray | None
    bad: dict[int, BadOutput]


class Head:
    """A loaded `artwork-head`: its main output is the embedding, one is named `score…`.

    Another may be named `uncertainty…`.

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
        self._uncertainty = next((name for name in names if name.startswith("uncertainty")), None)

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
        found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        score_N, embedding_NE = found[self._score], found[self._embedding]
        uncertainty_N = found[self._uncertainty] if self._uncertainty else None
        told_N = score_N if uncertainty_N is None else score_N + uncertainty_N
        return Judgement(
            scores=score_N,
            embeddings=embedding_NE,
            uncertainties=uncertainty_N,
            bad=self._bad(told_N, embedding_NE),
        )

    def _run(self, feature_BD: np.ndarray) -> dict[str, np.ndarray]:
        """The rows of each output; of scores and uncertainties one number a row."""
        rows = len(feature_BD)
        block_BD = np.zeros((BLOCK_ROWS, self.dimension), np.float32)
        block_BD[:rows] = feature_BD
        outputs = self.model.session.run({self._input: block_BD})
        numbers = [name for name in (self._score, self._uncertainty) if name]
        found = {name: outputs[name].reshape(BLOCK_ROWS)[:rows] for name in numbers}
        return found | {self._embedding: outputs[self._embedding][:rows]}

    def _bad(self, told_N: np.ndarray, embedding_NE: np.ndarray) -> dict[int, BadOutput]:
        unfit = np.flatnonzero(~np.isfinite(told_N))
        bad = {int(row): BadOutput("the score or its uncertainty is not finite") for row in unfit}
        found = check_vectors(embedding_NE, self.model.manifest)
        return bad | {row: error for row, error in enumerate(found) if error is not None}
