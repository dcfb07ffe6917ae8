"""Garments to train on, and the packaged image model, as options."""

import pytest

import defaults


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from trainer.synthetic.garments import write_garments

    folder = tmp_path_factory.mktemp("shop")
    write_garments(folder / "data", 80, size=48)
    places = ["--data", folder / "data", "--store", defaults.STORE, "--cache", folder / "cache"]
    return list(map(str, places))
