"""The score head: backbone features to scores and embeddings, and what a difference of scores means.

The trainer's tests and evaluations run this class, so the head that is tested is the head that serves.

Legend: N candidates, B rows of one run, D feature components, E embedding components, R outputs of one
candidate.

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

    output_NR: float32, shape (N, R); a row is a candidate's score, higher is better, its uncertainty where
    the head has that output, and its embedding. bad: the rows that must not be used, with the reason.
    """

    output_NR: np.ndarray
    has_uncertainty: bool
    bad: dict[int, BadOutput]

    @property
    def scores(self) -> np.ndarray:
        """Shape (N,)."""
        return self.output_NR[:, 0]

    @property
    def uncertainties(self) -> np.ndarray | None:
        """The standard deviation of each score, shape (N,); None if the head has no such output."""
        return self.output_NR[:, 1] if self.has_uncertainty else None

    @property
    def embeddings(self) -> np.ndarray:
        """Shape (N, E)."""
        return self.output_NR[:, 1 + self.has_uncertainty :]


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
        self.has_uncertainty = self._uncertainty is not None

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
        output_NR = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return Judgement(output_NR=output_NR, has_uncertainty=self.has_uncertainty, bad=self._bad(output_NR))

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

    def _run(self, feature_BD: np.ndarray) -> np.ndarray:
        """Rows of outputs, shape (B, R)."""
        rows = len(feature_BD)
        block_BD = np.zeros((BLOCK_ROWS, self.dimension), np.float32)
        block_BD[:rows] = feature_BD
        outputs = self.model.session.run({self._input: block_BD})
        scalars = [name for name in (self._score, self._uncertainty) if name]
        columns = [outputs[name].reshape(BLOCK_ROWS, 1) for name in scalars]
        return np.hstack([*columns, outputs[self._embedding]])[:rows]

    def _bad(self, output_NR: np.ndarray) -> dict[int, BadOutput]:
        scalars = 1 + self.has_uncertainty
        unfit = np.flatnonzero(~np.isfinite(output_NR[:, :scalars]).all(axis=1))
        bad = {int(row): BadOutput("the score or its uncertainty is not finite") for row in unfit}
        checked = check_vectors(output_NR[:, scalars:], self.version.manifest)
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
