"""The score head: backbone features to scores and embeddings, and what a difference of scores means.

The trainer's tests and evaluations run this class, so the head that is tested is the head that serves.

Legend: N candidates, B rows of one run, D feature components, E embedding components.

A score has the same bits whatever the other candidates are: the graph runs on blocks of exactly `BLOCK_ROWS`
rows, the last block padded with zeros. On CPUs a plain batch was measured bit-equal too, but a kernel chosen
by batch size (as GPU libraries do) need not be; 16 rows cost a lone row 0.1 ms and a thousand rows nothing.

P(a > b) = logistic((a − b) / √(temperature² + uncertainty_weight × (u_a² + u_b²))), u the standard deviation
of each score (after MacKay 1992): the one formula that the ranker serves and the trainer fits and evaluates.
The parameters are those of `model_store.manifest.Calibration`. In `probability` and `log_probability`, `gap`
is a − b and `variance` is u_a² + u_b² (0 where no uncertainty is known), float64 of shapes that broadcast.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.encoder import check_vectors
from inference.errors import BadOutput, InvalidFeature, RefusedModel
from inference.loading import LoadedModel
from inference.runtimes.device import CPU
from model_store.manifest import Calibration, VectorPreprocessing

BLOCK_ROWS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the head computes for N candidates.

    scores: float32, shape (N,), higher is better. embeddings: float32, shape (N, E). uncertainties: float32,
    shape (N,), the standard deviation of each score; None if the head has no such output.
    bad: the rows whose output must not be used, with the reason.
    """

    scores: np.ndarray
    embeddings: np.ndarray
    uncertainties: np.ndarray | None
    bad: dict[int, BadOutput]


class Head:
    """A loaded `artwork-head`: its main output is the embedding, one other is named `score…`.

    A third may be named `uncertainty…`.

    Raises RefusedModel: if the model is not a head, naming its outputs.
    """

    def __init__(self, model: LoadedModel) -> None:
        preprocessing, self.accepts = model.manifest.preprocessing, model.manifest.accepts
        if not isinstance(preprocessing, VectorPreprocessing):
            raise RefusedModel(
                f"{model.version} takes {preprocessing.kind} input: it is an encoder, not a head"
            )
        if not self.accepts:
            raise RefusedModel(f"{model.version} is not a head: it names no space whose vectors it takes")
        self.model = model
        self.version = model.version
        self.dimension = preprocessing.dimension
        self.calibration = model.manifest.calibration or Calibration()
        self._is_on_cpu = model.session.actual == CPU
        self._input = model.session.inputs[0].name
        self._embedding = model.manifest.output
        self._score, self._uncertainty = _output_names(model)

    @property
    def backbone_space_id(self) -> str:
        """The space that the head was trained on, in which pictures are embedded."""
        return self.accepts[0]

    def judges_at_once(self, count: int) -> bool:
        """Whether so many candidates take a tenth of a millisecond: less than waking another thread."""
        return self._is_on_cpu and count <= BLOCK_ROWS

    def judge(self, feature_ND: np.ndarray) -> Judgement:
        """Scores and embeddings of features, finite, shape (N, D), N at least 1. Blocks the thread.

        Raises InvalidFeature: for another shape, naming both, or numbers that float32 cannot hold.
        Raises InferenceError: if the graph cannot be run.
        """
        feature_ND = self._checked(feature_ND)
        starts = range(0, len(feature_ND), BLOCK_ROWS)
        blocks = [self._run(feature_ND[start : start + BLOCK_ROWS]) for start in starts]
        outputs = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        score_N, embedding_NE = outputs[self._score], outputs[self._embedding]
        uncertainty_N = outputs[self._uncertainty] if self._uncertainty else None
        return Judgement(
            scores=score_N,
            embeddings=embedding_NE,
            uncertainties=uncertainty_N,
            # The sum is finite only where both are.
            bad=self._bad(score_N if uncertainty_N is None else score_N + uncertainty_N, embedding_NE),
        )

    def _checked(self, feature_ND: np.ndarray) -> np.ndarray:
        """The features as float32."""
        if feature_ND.ndim != 2 or feature_ND.shape[1] != self.dimension or not len(feature_ND):
            shape = "x".join(map(str, feature_ND.shape))
            raise InvalidFeature(f"features are {shape}, {self.version.name} takes rows of {self.dimension}")
        feature_ND = np.ascontiguousarray(feature_ND, dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(feature_ND).all(axis=1))
        if bad.size:
            raise InvalidFeature(f"feature {bad[0]} holds NaN or infinity")
        return feature_ND

    def _run(self, feature_BD: np.ndarray) -> dict[str, np.ndarray]:
        """The rows of each output; of scores and uncertainties a single number a row."""
        rows = len(feature_BD)
        block_BD = np.zeros((BLOCK_ROWS, self.dimension), np.float32)
        block_BD[:rows] = feature_BD
        outputs = self.model.session.run({self._input: block_BD})
        scalars = [name for name in (self._score, self._uncertainty) if name]
        columns = {name: outputs[name].reshape(BLOCK_ROWS)[:rows] for name in scalars}
        return columns | {self._embedding: outputs[self._embedding][:rows]}

    def _bad(self, scalar_N: np.ndarray, embedding_NE: np.ndarray) -> dict[int, BadOutput]:
        unfit = np.flatnonzero(~np.isfinite(scalar_N))
        bad = {int(row): BadOutput("the score or its uncertainty is not finite") for row in unfit}
        checked = check_vectors(embedding_NE, self.version.manifest)
        return bad | {row: error for row, error in enumerate(checked) if error is not None}


def probability(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """P(a > b), float64, in [0, 1]; P(a > b) + P(b > a) is 1 to the last bit or two."""
    # By tanh: no overflow, and symmetric around a half.
    result: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * _margin(gap, variance, calibration)))
    return result


def log_probability(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """log P(a > b) in nats, float64; finite where P(a > b) itself rounds to 0."""
    result: np.ndarray = -np.logaddexp(0.0, -_margin(gap, variance, calibration))
    return result


def _output_names(model: LoadedModel) -> tuple[str, str | None]:
    """The names of the score and of the uncertainty output."""
    names = [spec.name for spec in model.session.outputs]
    scores = [name for name in names if name.startswith("score")]
    if len(scores) != 1 or scores[0] == model.manifest.output:
        raise RefusedModel(
            f"{model.version} is not a head: expected one output score… beside {model.manifest.output}, "
            f"the graph has {', '.join(names)}"
        )
    return scores[0], next((name for name in names if name.startswith("uncertainty")), None)


def _margin(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """The log-odds of a > b."""
    width = np.sqrt(calibration.temperature**2 + calibration.uncertainty_weight * variance)
    margin: np.ndarray = gap / width
    return margin
