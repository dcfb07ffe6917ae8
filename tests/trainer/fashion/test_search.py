from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.fashion.conftest import read_json
from trainer.errors import InvalidData
from trainer.fashion.evaluation.encoded import choose_samples
from trainer.fashion.search import (
    SEARCH_FILE,
    read_query,
    search_record,
    search_samples,
    write_searches,
)
from trainer.fashion.trained_run import open_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(house):
    return open_run(house.space.out, house.space.store)


@pytest.fixture(scope="module")
def encoded(house, run):
    return run.encode_garments(house.garments, house.space)


def test_samples_are_of_every_style_in_turn():
    """Twenty of a hundred reach the rarest style too (F-20)."""
    styles = ["레트로"] * 90 + ["리조트"] * 8 + ["섹시"] * 2

    chosen = choose_samples(styles, 20)

    counts = {word: sum(styles[row] == word for row in chosen) for word in set(styles)}
    assert counts["섹시"] == 2
    assert counts["리조트"] == 8
    assert len(set(chosen.tolist())) == 20
    assert len(choose_samples(styles, 100)) == 100


def test_what_is_found_is_nearest_and_the_own_place_is_reported(encoded):
    """Against sorting everything (F-20)."""
    for found in search_samples(encoded, np.array([3, 40]), 7):
        similarity_N = encoded.picture_ND @ encoded.record_ND[found.own_row]
        assert list(found.row_K) == np.argsort(-similarity_N)[:7].tolist()
        assert found.own_place == 1 + (similarity_N > similarity_N[found.own_row]).sum()


def test_a_picture_a_style_and_everything_as_json(encoded, run, tmp_path: Path):
    """Old pictures go; what the JSON names is there, with its time (F-11, F-20)."""
    folder = tmp_path / "results" / "similarity_search"
    folder.mkdir(parents=True)
    (folder / "of_the_run_before.png").touch()
    rows = choose_samples(encoded.words("style"), 20)

    body = write_searches(tmp_path, search_samples(encoded, rows, 5), encoded.garments, run)

    assert read_json(folder / SEARCH_FILE) == body
    assert body["created_at"]
    assert len(body["searches"]) == 20
    assert {len(one["found"]) for one in body["searches"]} == {5}
    assert sorted(path.name for path in folder.glob("*.png")) == sorted(body["pictures"].values())
    assert set(body["pictures"]) == set(encoded.words("style"))
    for name in body["pictures"].values():
        with Image.open(folder / name) as picture:
            assert "Creation Time" in picture.info
            assert picture.width > 600


def test_a_record_of_ones_own_is_asked(encoded, run, tmp_path: Path):
    """Any subset of fields, any k up to the whole gallery; a word that is not known is named (F-4, F-20)."""
    record = run.schema.normalise(read_query('{"category": "스커트", "colour": "레드", "detail": ["날개"]}'))
    vector_D = run.encode_records([record])[0]

    found = search_record(record, vector_D, encoded, 1_000)
    body = write_searches(tmp_path, [found], encoded.garments, run)

    assert sorted(found.row_K) == list(range(len(encoded)))
    assert body["searches"][0]["query"] == {
        "category": ["스커트"], "colour": ["레드"], "detail": ["날개"],
    }  # fmt: skip
    assert body["unknown_words"] == {"detail": {"날개": 1}}
    assert body["searches"][0]["own_place"] is None
    assert body["samples"] == 0


def test_a_query_may_call_fields_as_the_shop_does(run):
    """`Base Colour` is the field that was prepared from it; other names stay (F-6, F-20)."""
    fields = [{"name": "colour", "label": "Base Colour"}, {"name": "category", "label": ""}]
    shop = replace(run, bodies=({**run.body, "config": {"attributes": {"fields": fields}}},))

    named = shop.named({"Base Colour": "Red", "category": "Coat"})

    assert named == {"colour": "Red", "category": "Coat"}
    assert shop.labels == {"colour": "Base Colour", "category": "category"}


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ("[1]", "list"), ('"a"', "str")])
def test_a_query_that_is_no_record_is_refused(text: str, reason: str):
    """In one line that says what it is."""
    with pytest.raises(InvalidData, match=reason):
        read_query(text)
