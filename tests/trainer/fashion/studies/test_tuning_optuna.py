import os

import pytest

from trainer.errors import FolderInUse, InvalidStudy
from trainer.fashion.studies.tuning_optuna import STARTUP_TRIALS, WARMUP_EPOCHS, open_searcher
from trainer.fashion.studies.tuning_plan import PHASES, TrialOutcome, capped
from trainer.loop.run_folder import claimed

pytestmark = pytest.mark.slow

PHASE = PHASES[1]


class _Landscape:
    """Wide fields, a hidden layer of 512 and little dropout are best; nothing is trained."""

    def __init__(self, dies_at=None, short=True):
        self.asked, self.dies_at, self.short = [], dies_at, short

    def __call__(self, settings, watch, _told):
        self.asked.append(dict(settings))
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        value = settings["encoder.field_dim"] / 1000 - abs(settings["encoder.hidden_dim"] - 512) / 2000
        value -= settings["encoder.dropout"] / 10
        curve = []
        for epoch in range(1, WARMUP_EPOCHS + 2):
            curve.append(value * min(1.0, epoch / 10))
            if self.short:
                return _outcome([value], ended=True)
            if watch(epoch, curve[-1]):
                return _outcome(curve, ended=False)
        return _outcome(curve, ended=True)


def _outcome(curve, *, ended):
    best = max(curve)
    return TrialOutcome(
        value=best,
        mrr=best,
        loss=1 - best,
        best_epoch=curve.index(best) + 1,
        figures={},
        curve=tuple(curve),
        ended=ended,
    )


def _search(path, objective, phase=PHASE, seed=7, base=None, identity=None):
    with open_searcher(path, seed, identity or {}) as searcher:
        searcher.search(phase, base or {}, objective, lambda _trial: None)
        return searcher.trials(phase, base or {})


def test_no_combination_is_tried_twice(tmp_path):
    """The same settings would give the same figures again (F-21)."""
    objective = _Landscape()

    _search(tmp_path / "study.db", objective, capped((PHASE,), 99)[0])
    _search(tmp_path / "study.db", objective, capped((PHASE,), 99)[0])

    assert len(objective.asked) == PHASE.target == 15
    assert len({tuple(sorted(settings.items())) for settings in objective.asked}) == 15


def test_equal_seeds_try_the_same(tmp_path):
    """Trials follow from the seed; another seed tries others (F-21)."""
    runs = {name: _Landscape() for name in ("one", "again", "other")}
    for name, objective in runs.items():
        _search(tmp_path / f"{name}.db", objective, seed=8 if name == "other" else 7)

    assert runs["one"].asked == runs["again"].asked != runs["other"].asked


def test_a_broken_off_study_goes_on_as_if_it_was_not(tmp_path):
    """The trial that was running is failed and done anew; those after it are the same (F-21)."""
    whole, first, second = _Landscape(), _Landscape(dies_at=8), _Landscape()
    _search(tmp_path / "whole.db", whole)
    with pytest.raises(KeyboardInterrupt):
        _search(tmp_path / "broken.db", first)

    trials = _search(tmp_path / "broken.db", second)

    assert [trial.state for trial in trials].count("failed") == 1
    assert len([trial for trial in trials if trial.state != "failed"]) == PHASE.target
    assert first.asked[:-1] + second.asked == whole.asked


def test_weak_trials_are_given_up_and_strong_ones_are_not(tmp_path):
    """After its first epochs, and once there are trials to compare with, a trial below the median ends."""
    # proves F-21
    objective = _Landscape(short=False)

    trials = _search(tmp_path / "study.db", objective)

    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.state == "complete" for trial in trials[:STARTUP_TRIALS])
    assert all(len(trial.outcome.curve) >= WARMUP_EPOCHS for trial in pruned)
    best = max(trials, key=lambda trial: trial.standing)
    assert best.state == "complete"
    assert best.tried["encoder.field_dim"] == 768


def test_another_start_is_another_study(tmp_path):
    """Trials from one start are never counted for another, and stay where they are (F-21)."""
    path, base = tmp_path / "study.db", {"training.learning_rate": 1e-3}
    small = capped((PHASE,), 2)[0]
    before = _search(path, _Landscape(), small)

    after = _search(path, _Landscape(), small, base=base)

    assert len(before) == len(after) == 2
    assert all(trial.settings["training.learning_rate"] == 1e-3 for trial in after)
    assert _search(path, _Landscape(dies_at=1), small) == before


def test_other_data_or_settings_are_refused(tmp_path):
    """What differs is named (F-21)."""
    path = tmp_path / "study.db"
    _search(path, _Landscape(), capped((PHASE,), 1)[0], identity={"data_version": "a", "space_id": "s"})

    with pytest.raises(InvalidStudy, match="another data_version"):
        _search(path, _Landscape(), identity={"data_version": "b", "space_id": "s"})
    (tmp_path / "no.db").write_bytes(b"no database" * 100)
    with pytest.raises(InvalidStudy, match=r"no\.db: not a study"):
        _search(tmp_path / "no.db", _Landscape())


def test_a_second_process_is_refused_by_name(tmp_path):
    """One study, one process; a dead holder holds nothing (F-21)."""
    with claimed(tmp_path), pytest.raises(FolderInUse, match=f"process {os.getpid()}"), claimed(tmp_path):
        pass

    with claimed(tmp_path):
        pass


def test_importance_names_what_decides(tmp_path):
    """Shares of one; nothing where there is too little to tell by."""

    def by_width(settings, _watch, _told):
        return _outcome([settings["encoder.field_dim"] / 1000], ended=True)

    path = tmp_path / "study.db"
    with open_searcher(path, 7, {}) as searcher:
        assert searcher.importance(PHASE, {}) == {}
        searcher.search(PHASE, {}, by_width, lambda _trial: None)
        found = searcher.importance(PHASE, {})

    assert set(found) == {dimension.setting for dimension in PHASE.dimensions}
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=found.get) == "encoder.field_dim"
