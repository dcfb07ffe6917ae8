from dataclasses import replace

import pytest

from trainer.configuration import change_settings, parse_settings
from trainer.fashion.config import read_fashion_config
from trainer.fashion.studies.tuning_plan import (
    PHASES,
    Trial,
    TrialOutcome,
    best_of,
    capped,
    finished,
    named,
    shortened,
)

_REQUIRED = {
    1: (
        20,
        {
            "epochs": {50, 75, 100},
            "batch": {64, 96, 128},
            "learning rate": {1e-4, 3e-4, 5e-4, 1e-3},
            "temperature": {0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15},
        },
    ),
    2: (15, {"field width": {128, 256, 512, 768}, "hidden": {256, 512, 1024}, "dropout": {0.1, 0.2, 0.3}}),
    3: (
        10,
        {
            "weight decay": {1e-5, 1e-4, 1e-3},
            "scheduler": {"CosineAnnealingLR", "StepLR", "ExponentialLR"},
            "clip": {0.5, 1.0, 2.0},
        },
    ),
}


def test_phases_are_those_of_the_requirement():
    """Three phases of 20, 15 and 10 trials over exactly these values (F-21)."""
    found = {
        phase.number: (
            phase.trials,
            {
                dimension.name: {
                    named({dimension.setting: value})[dimension.name] for value in dimension.values
                }
                for dimension in phase.dimensions
            },
        )
        for phase in PHASES
    }

    assert found == _REQUIRED


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_every_dimension_is_a_setting(phase):
    """`--set` takes each name with each value, and the settings then hold it (F-21)."""
    config = read_fashion_config()
    for dimension in phase.dimensions:
        for value in dimension.values:
            changed = change_settings(config, parse_settings([f"{dimension.setting}={value}"]))

            part, _, name = dimension.setting.partition(".")
            assert getattr(getattr(changed, part), name) == value


def test_a_phase_is_capped_by_trials_and_by_what_there_is():
    """No phase grows, and none has more trials than combinations."""
    assert [phase.target for phase in capped(PHASES, 3)] == [3, 3, 3]
    assert [phase.target for phase in capped(PHASES, 50)] == [20, 15, 10]
    assert [phase.size for phase in PHASES] == [252, 36, 27]


def test_shortened_phases_end_early_and_try_the_rest():
    """Only the epochs change, and equal ones fall together."""
    first, *others = shortened(PHASES, 60)

    assert first.dimensions[0].values == (50, 60)
    assert first.dimensions[1:] == PHASES[0].dimensions[1:]
    assert tuple(others) == PHASES[1:]


_OUTCOME = TrialOutcome(value=0.5, mrr=0.3, loss=1.0, best_epoch=1, figures={}, curve=(0.5,), ended=True)
_TRIAL = Trial(phase=1, number=0, tried={}, settings={}, state="complete", seconds=1.0, outcome=_OUTCOME)


def _trial(number, value, mrr=0.3, state="complete"):
    return replace(_TRIAL, number=number, state=state, outcome=replace(_OUTCOME, value=value, mrr=mrr))


def test_stability_is_the_spread_of_the_last_epochs():
    """What came before the last five epochs is not in it (F-21)."""
    restless = replace(_OUTCOME, curve=(0.0, 0.1, 0.5, 0.6, 0.5, 0.6, 0.5))

    assert restless.stability == pytest.approx(0.0489898)
    assert replace(_OUTCOME, curve=(0.0, *[0.5] * 5)).stability == 0.0


def test_convergence_is_the_first_epoch_near_the_best():
    """95 % of the best value is near (F-21)."""
    assert replace(_OUTCOME, curve=(0.1, 0.94, 0.96, 1.0, 0.9)).convergence == 3


def test_the_best_is_complete_and_of_equal_ones_the_higher_mrr():
    """A pruned trial is never the best; MRR decides between equal values, then the earlier trial."""
    # proves F-21
    trials = [_trial(0, 0.6, 0.3), _trial(1, 0.6, 0.4), _trial(2, 0.6, 0.4), _trial(3, 0.9, state="pruned")]

    assert best_of(trials) == trials[1]
    assert best_of(trials[3:]) is None


def test_broken_off_trials_are_not_finished():
    """A pruned trial is finished, an interrupted one is not."""
    trials = [
        _trial(0, 0.5),
        _trial(1, 0.5, state="pruned"),
        replace(_TRIAL, number=2, state="failed", outcome=None),
    ]

    assert finished(trials) == tuple(trials[:2])
