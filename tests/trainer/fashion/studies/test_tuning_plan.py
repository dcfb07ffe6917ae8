from dataclasses import replace

import pytest

from trainer.fashion.studies.tuning_plan import Outcome, Trial, best_of, finished

_OUTCOME = Outcome(value=0.5, mrr=0.3, loss=1.0, best_epoch=1, figures={}, curve=(0.5,), ended=True)
_TRIAL = Trial(phase=1, number=0, tried={}, settings={}, state="complete", seconds=1.0, outcome=_OUTCOME)


def _trial(number, value, mrr=0.3, state="complete"):
    return replace(_TRIAL, number=number, state=state, outcome=replace(_OUTCOME, value=value, mrr=mrr))


def test_stability_is_the_spread_of_the_last_epochs():
    """What came before the last five epochs is not in it."""  # proves F-21
    restless = replace(_OUTCOME, curve=(0.0, 0.1, 0.5, 0.6, 0.5, 0.6, 0.5))

    assert restless.stability == pytest.approx(0.0489898)
    assert replace(_OUTCOME, curve=(0.0, *[0.5] * 5)).stability == 0.0


def test_convergence_is_the_first_epoch_near_the_best():
    """95 % of the best value is near."""  # proves F-21
    assert replace(_OUTCOME, curve=(0.1, 0.94, 0.96, 1.0, 0.9)).convergence == 3


def test_the_best_is_complete_and_of_equal_ones_the_higher_mrr():
    """What was given up is never the best; MRR decides between equal values, then the earlier trial."""
    # proves F-21
    trials = [_trial(0, 0.6, 0.3), _trial(1, 0.6, 0.4), _trial(2, 0.6, 0.4), _trial(3, 0.9, state="pruned")]

    assert best_of(trials) == trials[1]
    assert best_of(trials[3:]) is None


def test_broken_off_trials_are_not_finished():
    """Given up is an end, broken off is none."""
    trials = [
        _trial(0, 0.5),
        _trial(1, 0.5, state="pruned"),
        replace(_TRIAL, number=2, state="failed", outcome=None),
    ]

    assert finished(trials) == tuple(trials[:2])
