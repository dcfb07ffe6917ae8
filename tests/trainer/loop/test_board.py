"""Epochs of a run in its dashboard (D-1)."""

import numpy as np

from dashboard.recorder import recording
from trainer.loop.board import EpochBoard, curves_of, dotted, measure_norms, norm_of


def row(epoch: int, accuracy: float, **figures: float) -> dict[str, float]:
    return {"epoch": epoch, "val/accuracy": accuracy, "val/loss": 1.0, **figures}


def board_in(recorder) -> EpochBoard:
    return EpochBoard(recorder, lambda f: (f["val/accuracy"], 0.0), {"accuracy": "val/accuracy"}, "accuracy")


def test_cards_are_of_the_best_epoch(tmp_path):
    """Curves have every epoch; cards and the headline stay at the best one, also after a resume. (A-14)"""
    with recording(tmp_path, "artwork", {}) as recorder:
        board = board_in(recorder)
        board.restore([row(1, 0.9), row(2, 0.8)])
        board.show(row(3, 0.7))

        assert recorder.kpi.metrics == {"accuracy": 0.9}
        assert recorder.header.headline.value == 0.9
        board.show(row(4, 0.95))
        assert recorder.header.headline.value == 0.95
        assert recorder.header.epoch == 4


def test_lengths_and_similarities_are_cards(tmp_path):
    """Lengths of 1 are called unit; the similarities are those of the best epoch. (F-12)"""
    figures = {"val/positive_similarity": 0.5, "val/negative_similarity": 0.1}
    with recording(tmp_path, "fashion", {}) as recorder:
        board_in(recorder).show(row(1, 0.9, **figures, **measure_norms(np.ones(3))))

        assert recorder.kpi.norm.state == "unit"
        assert (recorder.kpi.similarity.positive, recorder.kpi.similarity.negative) == (0.5, 0.1)
    assert norm_of(measure_norms(np.array([15.9, 16.1]))).state == "free"
    assert norm_of({"val/loss": 1.0}) is None


def test_curves_have_plain_names():
    """Front ends read names without slashes."""
    figures = {"epoch": 1, "train/loss": 1.0, "train/lr": 2.0, "val/recall@10": 3.0, "val/norm_mean": 4.0}

    assert curves_of(figures) == {
        "train_loss": 1.0, "learning_rate": 2.0, "val_recall_10": 3.0, "norm_mean": 4.0,
    }  # fmt: skip


def test_settings_are_named_by_dots():
    """Nested sections become dotted names; lists and empty sections stay values."""
    nested = {"training": {"seed": 42, "words": ["a"]}, "empty": {}, "kind": "x"}

    assert dotted(nested) == {"training.seed": 42, "training.words": ["a"], "empty": {}, "kind": "x"}
