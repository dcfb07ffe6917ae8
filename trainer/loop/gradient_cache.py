"""A batch that does not fit into memory, put through in pieces with the gradient of the whole (A-11).

A loss over pairs needs all scores of a batch at once, so summing the losses of pieces would forget the pairs
between them. Instead the loss is differentiated by the scores first, then each piece by the weights (gradient
cache, Gao et al. 2021): the same gradient, whatever the pieces. (Dropout falls differently in other pieces,
as it does in other batches.)

Shapes: B rows of a batch, C rows of a piece, D feature.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

_log = logging.getLogger(__name__)

Score = Callable[[torch.Tensor], torch.Tensor]
Result = TypeVar("Result")


class GradientCache:
    """Scores of whole batches by a module, at most `size` rows at once; `size` halves when memory runs out.

    `scores` and then `backward`, once each a batch. Raises torch.OutOfMemoryError: when one row is too much.
    """

    def __init__(self, module: nn.Module, score: Score, size: int) -> None:
        self._weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._score, self.size = score, size
        self._rows = torch.empty(0)
        self._leaf = torch.empty(0)
        self._kept: torch.Tensor | None = None
        self._seed = 0

    def scores(self, feature_BD: torch.Tensor) -> torch.Tensor:
        """score_B, a leaf that takes the gradient of the loss."""
        self._rows, self._kept = feature_BD, None
        # Dropout must fall the same way when a piece goes through a second time.
        self._seed = int(torch.randint(1 << 62, ()))
        score_B = self._fitting(self._forward)
        self._leaf = score_B.detach().requires_grad_()
        return self._leaf

    def backward(self) -> None:
        """Add the gradient of the last batch to that of the weights. The loss went backward before."""
        gradients = self._fitting(self._gradients)
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient if weight.grad is None else weight.grad + gradient

    def _forward(self) -> torch.Tensor:
        if self.size >= len(self._rows):
            self._kept = self._piece(0)
            return self._kept
        with torch.no_grad():
            return torch.cat([self._piece(start) for start in range(0, len(self._rows), self.size)])

    def _gradients(self) -> Sequence[torch.Tensor]:
        assert self._leaf.grad is not None
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return torch.autograd.grad(kept, self._weights, self._leaf.grad)
        parts = (
            torch.autograd.grad(self._piece(start), self._weights, self._leaf.grad[start : start + self.size])
            for start in range(0, len(self._rows), self.size)
        )
        return functools.reduce(lambda total, part: [a + b for a, b in zip(total, part, strict=True)], parts)

    def _piece(self, start: int) -> torch.Tensor:
        rows_CD = self._rows[start : start + self.size]
        with _seeded(rows_CD.device, self._seed + start):
            return self._score(rows_CD)

    def _fitting(self, work: Callable[[], Result]) -> Result:
        """The work, in smaller and smaller pieces until it fits."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self._halve()

    def _halve(self) -> None:
        self._kept = None
        before, self.size = self.size, max(1, min(self.size, len(self._rows)) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning(
            "out of memory: the batch is put through in smaller pieces, with the same gradient",
            extra={"rows_at_once": self.size, "before": before, "batch": len(self._rows)},
        )


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Random numbers of a seed, and those that were to come afterwards."""
    gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if gpu else []):
        # Not `torch.manual_seed`: it writes a stack trace down for a GPU that is not there.
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.default_generators[device.index or 0].manual_seed(seed)
        yield
