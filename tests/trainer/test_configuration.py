from pathlib import Path

import pytest

from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.configuration import parse_settings
from trainer.errors import InvalidConfig
from trainer.fashion.config import FashionConfig, read_fashion_config


def test_artwork_file_holds_the_defaults():
    """`config/artwork.yml` says what the code says (A-21)."""
    assert read_artwork_config() == ArtworkConfig()


def test_fashion_file_holds_the_vocabularies_of_the_data_set():
    """Every field has as many words as K-Fashion has, each once (F-4)."""
    fields = read_fashion_config().attributes.preprocessing().fields

    assert {f.name: len(f.vocabulary) for f in fields} == {
        "category": 21,
        "style": 23,
        "silhouette": 7,
        "material": 25,
        "detail": 40,
        "colour": 21,
        "print": 21,
        "length": 9,
        "sleeve": 6,
        "neckline": 12,
        "collar": 9,
    }
    assert all(len(set(f.vocabulary)) == len(f.vocabulary) for f in fields)


def test_core_fields_alone_are_the_query_record():
    """`extended: false` leaves the five fields of the requirement (F-3)."""
    config = read_fashion_config(overrides={"attributes.extended": False})

    names = [f.name for f in config.attributes.preprocessing().fields]
    assert names == ["category", "style", "silhouette", "material", "detail"]


def test_fashion_defaults_are_those_that_were_measured():
    """50 epochs of a cosine, batch 128, lr 1e-3, temperature 0.02, ties excluded (F-9, F-25)."""
    training = FashionConfig.model_validate(
        {"attributes": read_fashion_config().attributes.model_dump()}
    ).training

    assert training == read_fashion_config().training
    assert (training.max_epochs, training.batch_size, training.learning_rate) == (50, 128, 1e-3)
    assert (training.temperature, training.exclude_ties) == (0.02, True)
    assert training.schedule == "cosine"


def test_options_stand_over_the_file():
    """A dotted name sets one value (A-21)."""
    assert read_artwork_config(overrides={"training.seed": 7}).training.seed == 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("training: {learning_rat: 1}", "training.learning_rat"),
        ("training: {seed: null}", "training.seed"),
        ("head: {depth: 9}", "head.depth"),
        ("- 1", "not a mapping"),
        ("{", "not readable as YAML"),
        ("\0", "not readable as YAML"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, body: str, message: str):
    """The error names the file and the field, in one line."""
    path = tmp_path / "artwork.yml"
    path.write_text(body)

    with pytest.raises(InvalidConfig, match=message) as caught:
        read_artwork_config(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_of_the_command_line_is_over_the_file():
    """Each setting by YAML and by option; values are typed (A-21)."""
    overrides = parse_settings(
        ["training.seed=7", "training.loader=pair_list", "training.wandb_run_name=null"]
    )

    config = read_artwork_config(overrides=overrides)

    assert (config.training.seed, config.training.loader) == (7, "pair_list")
    assert config.training.wandb_run_name is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.seed", "expected NAME=VALUE"),
        ("=7", "expected NAME=VALUE"),
        ("training.seed=[", "is no YAML"),
        ("training.seed.deep=1", "seed is a value"),
        ("training.sed=7", "training.sed"),
        ("training.ensemble=9", r"training: ensemble is 9, above keep_top 3"),
        ("training.learning_rate=.inf", "learning_rate: Input should be a finite number"),
        ("training.scheduler_eta_min=1", "scheduler_eta_min is 1, above learning_rate 0.0001"),
        ("training.seed=99999999999999999999", "training.seed"),
        ("head.hidden_dim=99999999999", "head.hidden_dim"),
        ("training.checkpoint_dir=../other", "'../other' is no folder inside"),
        ("training.checkpoint_dir=/tmp", "'/tmp' is no folder inside"),
        ("training.checkpoint_dir=''", "'' is no folder inside"),
        ("training.wandb_project='a\0b'", "is no YAML"),
    ],
)
def test_a_setting_that_is_none_is_named(text: str, said: str):
    """What was typed is in the error."""
    with pytest.raises(InvalidConfig, match=said):
        read_artwork_config(overrides=parse_settings([text]))
