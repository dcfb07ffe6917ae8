import json

import pytest
from PIL import Image

from trainer.configuration import change_settings
from trainer.fashion.module import EncoderModule
from trainer.fashion.studies import temperature
from trainer.fashion.studies.temperature import Budget, study_temperatures

pytestmark = pytest.mark.slow

_BUDGET = Budget(temperatures=(0.05, 0.1, 0.15), seeds=2)


@pytest.fixture
def config(fashion_config):
    # Patience that any run would lose, were it asked for.
    return change_settings(
        fashion_config,
        {"training.max_epochs": 3, "training.standalone_epochs": 1, "training.early_stopping_patience": 1},
    )


def test_every_temperature_gets_the_same(config, gallery, garments, space, monkeypatch):
    """Epochs, batches and first weights are equal; the report compares and recommends."""  # proves F-17
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
    """Only what is missing, or was trained otherwise, is trained."""  # proves F-17
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
