"""The heads that are packaged: made of drawn pictures, measured on photographs, published with their card."""

from pathlib import Path

import pytest
import yaml

import defaults
from model_store.manifest import AttributePreprocessing
from model_store.store import ModelStore
from pretraining import head_benchmark
from pretraining.config import read_pretraining_settings
from pretraining.heads import HeadsTask, english_spelling, train_heads
from pretraining.photographs import Photograph, read_photographs
from tests.pretraining.photographs import write_photographs
from trainer.configuration import CONFIG_DIRECTORY
from trainer.errors import InvalidData
from trainer.fashion.config import read_fashion_config
from trainer.loop.progress import silent


def test_every_word_of_the_vocabulary_has_an_english_label() -> None:
    """Each field's labels name its words, all of them, and no label means two words."""
    table = yaml.safe_load((CONFIG_DIRECTORY / "labels.yml").read_text(encoding="utf-8"))
    fields = {field.name: set(field.words) for field in read_fashion_config().attributes.fields}
    meant: dict[str, set[str]] = {}
    for words in table["languages"]["en"].values():
        for word, label in words.items():
            meant.setdefault(label, set()).add(word)

    assert {name: set(words) for name, words in table["languages"]["en"].items()} == fields
    assert {label: words for label, words in meant.items() if len(words) > 1} == {}
    assert set(table["synonyms"].values()) <= set().union(*fields.values())
    assert all(label == label.casefold() for label in english_spelling())


@pytest.mark.slow
def test_both_heads_are_trained_measured_and_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They accept the packaged image models, understand English, and carry figures beside untrained ones."""
    monkeypatch.setattr(head_benchmark, "FIRST", 2)
    monkeypatch.setattr(head_benchmark, "LABEL_QUERIES", {"light": {"category": "스커트"}})
    table, images = write_photographs(tmp_path / "shop", count=80, senders=10)
    small = {"garments": 40, "paintings": 20, "graded_garments": 0}
    settings = read_pretraining_settings(
        overrides={f"heads.{name}": value for name, value in small.items()}
    ).heads
    short = {"training.max_epochs": 1, "training.device": "cpu", "training.wandb_enabled": False}
    fashion = short | {"training.standalone_epochs": 0, "training.batch_size": 8}
    (tmp_path / "to").mkdir()
    packaged, target = ModelStore.at(defaults.STORE), ModelStore.at(tmp_path / "to")
    task = HeadsTask(
        store=packaged,
        target=target,
        photographs=read_photographs(table, images),
        out=tmp_path / "out",
        command="atelier encoders heads",
        progress=silent,
        log=lambda _line: None,
    )

    report = train_heads(task, settings.model_copy(update={"artwork": short, "fashion": fashion}))

    head, encoder = (target.resolve(name) for name in ("artwork-head", "fashion-attributes"))
    assert head.manifest.accepts == (packaged.resolve("artwork-backbone").space_id,)
    assert encoder.manifest.accepts == (packaged.resolve("fashion-image").space_id,)
    preprocessing = encoder.manifest.preprocessing
    assert isinstance(preprocessing, AttributePreprocessing)
    assert preprocessing.spelling["skirt"] == "스커트"
    assert encoder.manifest.metrics["labels"]["en"]["category"]["스커트"] == "skirt"
    for version in (head, encoder):
        figures = version.manifest.metrics["card"]["figures"]
        assert figures == report["figures"][version.name]
        assert "untrained" in figures[0]
        assert version.manifest.provenance.trained
        assert "made by: atelier encoders heads" in version.manifest.provenance.notes


def test_photographs_without_a_known_label_are_refused() -> None:
    """The labels that an attribute query stands for are named."""
    image = ModelStore.at(defaults.STORE).resolve("fashion-image")
    photographs = [Photograph(path=Path("none.jpg"), sender="1", label="Umbrella")]

    with pytest.raises(InvalidData, match=r"no label has 10 photographs .* T-Shirt"):
        head_benchmark.measure_attributes(image, head_benchmark.Baseline(image, image), photographs, silent)
