from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from model_store.manifest import AttributePreprocessing
from tests.trainer.fashion.encoder_kinds import RECORDS, SCHEMA, SETTINGS, encode, make_encoder
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.fashion.data.splits import split_records
from trainer.fashion.encoders import EncoderEnsemble
from trainer.fashion.evaluation.report import evaluate_run
from trainer.fashion.train import train_fashion
from trainer.fashion.trained_run import open_run, open_runs, read_prepared, restore_ensemble


def _checkpoint(kind: str, seed: int, **changes: Any) -> dict[str, Any]:
    """What training keeps of an encoder."""
    return {
        "preprocessing": SCHEMA.model_dump(mode="json"),
        "space_id": "a" * 64,
        "config": {"encoder": SETTINGS[kind].model_dump(mode="json")},
        "model_state_dict": make_encoder(kind, seed).state_dict(),
        **changes,
    }


def _schema(**fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with changed fields."""
    changed = [f.model_copy(update=fields.get(f.name, {})) for f in SCHEMA.fields]
    return AttributePreprocessing(fields=tuple(changed), spelling=SCHEMA.spelling).model_dump(mode="json")


def test_the_answer_is_the_mean_of_the_members_brought_to_length_one():
    """Members of any kinds, in any order (F-23)."""
    bodies = {"one.pt": _checkpoint("pooled", 1), "two.pt": _checkpoint("attention", 2)}
    ensemble = restore_ensemble(bodies)
    mean_BD = (encode(ensemble.members[0], RECORDS) + encode(ensemble.members[1], RECORDS)) / 2

    found = encode(ensemble, RECORDS)

    assert torch.allclose(found, mean_BD / mean_BD.norm(dim=-1, keepdim=True), atol=1e-6)
    assert torch.allclose(found, encode(restore_ensemble(dict(reversed(bodies.items()))), RECORDS), atol=1e-6)
    assert (ensemble.fields, ensemble.inputs) == (ensemble.members[0].fields, ensemble.members[0].inputs)
    assert not any(part.training for part in ensemble.modules())


def test_one_member_answers_for_itself():
    """An ensemble of one, and one of the same member twice, change nothing (F-23)."""
    member = make_encoder("pooled").eval()

    for members in ([member], [member, member]):
        assert torch.allclose(encode(EncoderEnsemble(members), RECORDS), encode(member, RECORDS), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space_id": "b" * 64}, "one.pt was trained on the space aaaaaaaaaaaa, two.pt on the space bbbb"),
        (
            {"preprocessing": _schema(detail={"name": "other"})},
            "colour, length, sleeve, two.pt on the fields category, style, other, colour, length, sleeve",
        ),
        (
            {"preprocessing": _schema(detail={"vocabulary": ("단추",)})},
            "on lists of 2 words of detail, two.pt on lists of 1 words of detail",
        ),
        (
            {"preprocessing": _schema(category={"multiple": True})},
            "on one of 3 words of category, two.pt on lists of 3 words of category",
        ),
        (
            {"preprocessing": _schema(detail={"vocabulary": ("단추", "자수")})},
            "on '지퍼' as word 2 of detail, two.pt on '자수' as word 2 of detail",
        ),
        (
            {"preprocessing": _schema() | {"spelling": {"모든": "펑크"}}},
            "on '모든' spelt '모던', two.pt on '모든' spelt '펑크'",
        ),
        ({"preprocessing": _schema() | {"spelling": {}}}, "on 1 spellings, two.pt on 0 spellings"),
    ],
)
def test_members_of_two_schemas_or_spaces_are_refused(changes: dict[str, Any], said: str):
    """The error names both checkpoints and what each was trained on (F-23)."""
    bodies = {
        "one.pt": _checkpoint("pooled", 1),
        "same.pt": _checkpoint("pooled", 2),
        "two.pt": _checkpoint("pooled", 3) | changes,
    }

    with pytest.raises(InvalidCheckpoint) as caught:
        restore_ensemble(bodies)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_member_is_no_ensemble():
    """An ensemble of no checkpoint is refused, naming how many it needs (F-23)."""
    with pytest.raises(InvalidCheckpoint, match="at least 1 checkpoint, got 0"):
        restore_ensemble({})


@pytest.mark.slow
def test_a_folder_without_a_run_says_how_to_make_one(house, tmp_path):
    """In one line."""
    with pytest.raises(InvalidCheckpoint, match="train first"):
        open_run(tmp_path, house.space.store)


@pytest.mark.slow
def test_several_runs_answer_as_one(house, gallery, tmp_path):
    """Their vectors have length 1 and are between the members'; another space is refused (F-23)."""
    other = replace(house.space, out=tmp_path / "other")
    training = house.config.training.model_copy(update={"seed": 7, "max_epochs": 2})
    train_fashion(
        house.config.model_copy(update={"training": training}), house.garments, gallery.image.version, other
    )
    run = open_runs((house.space.out, other.out), house.space.store)

    body = evaluate_run(run, house.data, replace(house.space, out=tmp_path), probes=False)

    assert body["vectors"]["record"]["ok"]
    members = [open_run(folder, house.space.store) for folder in (house.space.out, other.out)]
    records = [garment.attributes for garment in house.garments[:5]]
    one_ND, other_ND, mean_ND = (r.encode_records(records) for r in (*members, run))
    middle_ND = one_ND + other_ND
    assert np.allclose(mean_ND, middle_ND / np.linalg.norm(middle_ND, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.slow
def test_a_run_of_an_earlier_build_is_judged_as_it_was_trained(house):
    """Its checkpoint states no shares: four fifths to train on, a fifth to validate on, no test (F-5)."""
    run = open_run(house.space.out, house.space.store)
    config = {name: value for name, value in run.body["config"].items() if name != "split"}

    prepared = read_prepared(house.data, replace(run, bodies=({**run.body, "config": config},)))

    assert prepared.split.sizes() == {"train": 64, "val": 16, "test": 0, "dropped": 0}
    assert prepared.split.judged == "val"
    with pytest.raises(InvalidData, match="no garment is of the part 'test'"):
        prepared.part("test")


@pytest.mark.slow
def test_an_ensemble_is_judged_by_garments_that_no_member_was_trained_on(house):
    """Members of two seeds split the same garments in two ways (F-5, F-23)."""
    run = open_run(house.space.out, house.space.store)
    both = replace(run, bodies=(run.body, {**run.body, "seed": 7}))

    split = read_prepared(house.data, both).split

    members = [split_records(house.garments, seed, house.config.split) for seed in (42, 7)]
    trained, chosen = ({g.item_id for m in members for g in getattr(m, part)} for part in ("train", "val"))
    test = {garment.item_id for garment in split.test}
    assert test
    assert not test & (trained | chosen)
    assert {garment.item_id for garment in split.train} == trained
    assert sum(split.sizes().values()) == len(house.garments)
