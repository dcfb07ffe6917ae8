from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.fashion.conftest import read_json
from trainer.fashion.encoders import build_encoder
from trainer.fashion.studies import sanity
from trainer.fashion.studies.sanity import (
    CHECKS,
    RESULTS_FILE,
    RESULTS_FOLDER,
    CheckedRun,
    CheckFailed,
    check_sanity,
)
from trainer.fashion.trained_run import TrainedRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(house, gallery) -> CheckedRun:
    return CheckedRun(
        config=house.config,
        garments=house.garments,
        image=gallery.image.version,
        space=house.space,
        report=house.report,
    )


def test_a_sound_build_passes(fashion_config, gallery, tmp_path, house):
    """Every check, on drawn garments, written down (F-19)."""
    space = replace(house.space, out=tmp_path)

    body = check_sanity(fashion_config, gallery.image.version, space)

    assert {name: one["passed"] for name, one in body["checks"].items()} == dict.fromkeys(CHECKS, True)
    assert body["passed"]
    assert body["data"] == "drawn"
    assert read_json(tmp_path / RESULTS_FOLDER / RESULTS_FILE) == body


def _break_dimension(bench, monkeypatch):
    cut = replace(bench.encoded, record_ND=bench.encoded.record_ND[:, :511])
    return _with_encoded(bench, cut)


def _break_norm(bench, monkeypatch):
    return _with_encoded(bench, replace(bench.encoded, picture_ND=bench.encoded.picture_ND * 1.01))


def _break_loss(bench, monkeypatch):
    torch.manual_seed(bench.config.training.seed)
    fresh = build_encoder(bench.run.preprocessing.fields, bench.config.encoder)
    broken = replace(bench)
    # A run that learnt nothing, whatever its losses look like.
    broken.__dict__["run"] = replace(bench.run, encoder=fresh.eval())
    return broken


def _break_gradients(bench, monkeypatch):
    def cut_off(record_ND, picture_ND, temperature, key_B=None):
        return (record_ND[:, :256] * 0).sum() + picture_ND.sum()

    monkeypatch.setattr(sanity, "info_nce", cut_off)
    return bench


def _break_batches(bench, monkeypatch):
    def among_mates(run, records):
        vector_ND = encode(run, records)
        return vector_ND + 0.01 * len(records)

    encode = TrainedRun.encode_records
    monkeypatch.setattr(TrainedRun, "encode_records", among_mates)
    return bench


def _break_fields(bench, monkeypatch):
    def lost(run, records):
        vector_ND = encode(run, records)
        vector_ND[[not any(record.values()) for record in records]] = 0
        return vector_ND

    encode = TrainedRun.encode_records
    monkeypatch.setattr(TrainedRun, "encode_records", lost)
    return bench


def _break_image_model(bench, monkeypatch):
    return replace(bench, image=replace(bench.image, digest="0" * 64))


def _break_search(bench, monkeypatch):
    def farthest(encoded, row_Q, k):
        return search(replace(encoded, picture_ND=-encoded.picture_ND), row_Q, k)

    search = sanity.search_samples
    monkeypatch.setattr(sanity, "search_samples", farthest)
    return bench


def _break_recommendation(bench, monkeypatch):
    def shuffled(index, labels, vector_ND, *, removed=None, revision):
        return update(index, labels, np.roll(vector_ND, 1, axis=1), removed=removed, revision=revision)

    update = sanity.SegmentedIndex.update
    monkeypatch.setattr(sanity.SegmentedIndex, "update", shuffled)
    return bench


def _with_encoded(bench, encoded):
    changed = replace(bench)
    changed.__dict__["encoded"] = encoded
    return changed


@pytest.mark.parametrize(
    ("name", "breakage"),
    [
        ("dimension", _break_dimension),
        ("norm", _break_norm),
        ("loss falls", _break_loss),
        ("gradients flow", _break_gradients),
        ("batch consistency", _break_batches),
        ("field processing", _break_fields),
        ("image model unchanged", _break_image_model),
        ("search", _break_search),
        ("recommendation", _break_recommendation),
    ],
)
def test_each_check_fails_by_its_name_when_what_it_checks_is_broken(bench, monkeypatch, name, breakage):
    """It passes on the sound bench and not on the broken one (F-19)."""
    with torch.random.fork_rng(devices=[]):
        assert CHECKS[name](bench)
        with pytest.raises(CheckFailed):
            CHECKS[name](breakage(bench, monkeypatch))


def test_a_broken_check_does_not_stop_the_others(fashion_config, gallery, tmp_path, house, monkeypatch):
    """The report names it and the value; the other checks are reported too (F-19)."""
    monkeypatch.setattr(sanity, "DIMENSION", 511)

    body = check_sanity(fashion_config, gallery.image.version, replace(house.space, out=tmp_path), house.data)

    assert not body["passed"]
    assert body["data"] == "given"
    failed = {name: one["found"] for name, one in body["checks"].items() if not one["passed"]}
    assert "512 numbers, not 511" in failed["dimension"]
    assert set(failed) <= {"dimension", "recommendation"}
