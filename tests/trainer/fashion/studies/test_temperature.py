import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.configuration import change_settings
from trainer.fashion.module import EncoderModule
from trainer.fashion.studies import temperature
from trainer.fashion.studies.temperature import (
    TEMPERATURES,
    Budget,
    noise_range,
    recommend_temperature,
    study_temperatures,
)

pytestmark = pytest.mark.slow

# From 0.05 on: those of F-17.
_EIGHT = TEMPERATURES[3:]
_BUDGET = Budget(temperatures=(0.05, 0.1, 0.15), seeds=2)


@pytest.fixture
def config(fashion_config):
    # Patience that any run would lose, were it asked for.
    return change_settings(
        fashion_config,
        {"training.max_epochs": 3, "training.standalone_epochs": 1, "training.early_stopping_patience": 1},
    )


def test_every_temperature_gets_the_same(config, gallery, garments, space, monkeypatch):
    """Epochs, batches and first weights are equal; the report compares and recommends (F-17)."""
    batches = {}
    real = EncoderModule.training_step

    def watched(self, row_B):
        key = (self.settings.temperature, self.settings.seed)
        first = batches.setdefault(key, [self.network.tables[0].weight.detach().clone()[:3].tolist()])
        first.append(row_B.tolist())
        return real(self, row_B)

    monkeypatch.setattr(EncoderModule, "training_step", watched)
    body = study_temperatures(config, garments, gallery.image.version, space, _BUDGET)

    for seed in (config.training.seed, config.training.seed + 1):
        one, *others = [batches[temperature, seed] for temperature in _BUDGET.temperatures]
        assert all(other == one for other in others)
    assert batches[0.1, config.training.seed] != batches[0.1, config.training.seed + 1]
    rows = body["temperatures"]
    assert [row["temperature"] for row in rows] == [0.05, 0.1, 0.15]
    assert all(row["epochs"] == [3, 3] for row in rows)
    assert all(row["positive_similarity"] > row["negative_similarity"] for row in rows)
    assert {"recall@1", "recall@5", "recall@10", "mrr", "spread_between_seeds", "seconds"} <= rows[0].keys()
    assert body["recommendation"]["recommended"] in _BUDGET.temperatures
    assert json.loads((space.out / "temperature_study.json").read_text()) == body
    assert body["recommendation"]["told"] in (space.out / "temperature_study.md").read_text()
    with Image.open(space.out / "temperature_study.png") as chart:
        assert chart.info["Creation Time"]


def test_finished_temperatures_are_not_trained_again(config, gallery, garments, space, monkeypatch):
    """Only what is missing, or was trained otherwise, is trained (F-17)."""
    trained = []
    real = temperature.train_trial

    def counted(settings, *given):
        trained.append(settings.training.temperature)
        return real(settings, *given)

    monkeypatch.setattr(temperature, "train_trial", counted)
    image, budget = gallery.image.version, Budget(temperatures=(0.05, 0.1))
    first = study_temperatures(config, garments, image, space, Budget(temperatures=(0.05,)))
    second = study_temperatures(config, garments, image, space, budget)
    assert trained == [0.05, 0.1]
    assert second["temperatures"][0] == first["temperatures"][0]

    study_temperatures(change_settings(config, {"training.batch_size": 32}), garments, image, space, budget)
    assert trained == [0.05, 0.1, 0.05, 0.1]
    study_temperatures(config, garments[:-3], image, space, budget)
    assert trained == [0.05, 0.1] * 3


_KEYS = [str(i) for i in range(300)]


def _hits(rng, shares, seeds=1, queries=300):
    """Queries that are easy or hard for all, and luck on top."""
    hard_N = rng.random(queries)
    luck_TSN = rng.normal(0, 0.15, (len(shares), seeds, queries))
    return (hard_N + luck_TSN < np.array(shares)[:, None, None]).astype(float)


def _asked(hit_TSN, keys=_KEYS, **others):
    return recommend_temperature({"Recall@10": hit_TSN, **others}, keys, _EIGHT, 0.1)


def test_luck_alone_is_no_difference():
    """Eight that are equally good: told apart one time in twenty at most, else what there was is kept."""
    # proves F-17
    rng = np.random.default_rng(5)
    found = [_asked(_hits(rng, [0.7] * 8), MRR=_hits(rng, [0.7] * 8)) for _ in range(25)]

    silent = [one for one in found if one.decided_by is None]
    assert len(silent) >= 22
    assert all(one.recommended == 0.1 for one in silent)
    assert all(one.told.startswith("no difference beyond noise") for one in silent)
    assert all(one.told.endswith("keep 0.1") for one in silent)


def test_a_better_temperature_is_found():
    """Far ahead of the others it is recommended, and the others are not called alike (F-17)."""
    found = _asked(_hits(np.random.default_rng(1), [0.5] * 7 + [0.8]))

    assert found.comparisons["Recall@10"].alike == (0.15,)
    assert found.recommended == 0.15
    assert "every other is worse" in found.told
    assert found.told.endswith("0.1 is worse beyond noise: take 0.15")


def test_the_current_one_stays_beside_the_best():
    """Not told apart from the best, it is kept though others are worse (F-17)."""
    found = _asked(_hits(np.random.default_rng(1), [0.4, 0.4, 0.4, 0.4, 0.80, 0.80, 0.4, 0.4]))

    assert set(found.comparisons["Recall@10"].alike) == {0.1, 0.11}
    assert found.recommended == 0.1


def test_where_one_figure_is_silent_the_next_is_asked():
    """All queries answered by all: places among the ten still tell (F-17)."""
    mrr_TSN = _hits(np.random.default_rng(1), [0.9] + [0.5] * 7)

    found = _asked(np.ones_like(mrr_TSN), MRR=mrr_TSN)

    assert found.decided_by == "MRR"
    assert found.recommended == 0.05
    assert found.told.startswith("no difference in Recall@10 beyond noise; best by MRR is 0.05")


def test_luck_of_seeds_is_noise():
    """Seeds that disagree widen it; queries alone would not show that (F-17)."""
    rng = np.random.default_rng(2)
    calm = np.repeat(_hits(rng, [0.7, 0.7]), 3, axis=1)
    restless = calm.copy()
    restless[0, 0], restless[1, 1] = 1.0, 0.0

    assert noise_range(restless, _KEYS) > 2 * noise_range(calm, _KEYS)


def test_equal_queries_count_as_one():
    """Twenty copies of fifteen records say no more than fifteen records (F-17)."""
    hit_TSN = np.repeat(_hits(np.random.default_rng(3), [0.6, 0.6], queries=15), 20, axis=2)
    keys = [str(i // 20) for i in range(300)]

    assert noise_range(hit_TSN, keys) > 3 * noise_range(hit_TSN, _KEYS)


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 1000))
def test_the_same_hits_have_no_noise(temperatures, seeds, seed):
    """Temperatures that answer every query alike cannot be told apart by any draw of the queries."""
    hit_N = np.random.default_rng(seed).integers(0, 2, 12).astype(float)
    hit_TSN = np.broadcast_to(hit_N, (temperatures, seeds, 12))

    assert noise_range(hit_TSN, _KEYS[:12]) == pytest.approx(0, abs=1e-12)
