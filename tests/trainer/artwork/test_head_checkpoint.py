import numpy as np
import pytest
import torch

from inference.head import Head
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.export import export_artwork_head
from trainer.artwork.head_checkpoint import KIND, judge_features, restore_judge
from trainer.artwork.train import train_artwork
from trainer.loop.checkpoints import load_checkpoint
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow


@pytest.fixture
def together(gallery, artwork_config, artworks, space):
    """A run whose two best epochs judge together."""
    training = artwork_config.training.model_copy(update={"ensemble": 2, "max_epochs": 5})
    config = artwork_config.model_copy(update={"training": training})
    return train_artwork(config, artworks, gallery.backbone.version, space)


def test_several_checkpoints_judge_by_their_mean(together, space):
    """The score is the mean of the members', and they are less sure where they disagree (A-18)."""
    folder = space.out / "checkpoints"
    body = load_checkpoint(together.checkpoint, KIND)
    tops = [load_checkpoint(path, KIND) for path in folder.glob("top_*.pt")]
    chosen = [top for top in tops if _is_member(top, body)]
    feature_ND = np.random.default_rng(0).normal(size=(20, body["input_dim"])).astype(np.float32)

    score_N, uncertainty_N = judge_features(restore_judge(body), feature_ND)
    members = [judge_features(restore_judge(top), feature_ND)[0] for top in chosen]

    assert together.checkpoint.name == "ensemble.pt"
    assert together.body["members"] == len(chosen) == 2
    np.testing.assert_allclose(score_N, np.mean(members, axis=0), atol=1e-5)
    assert (uncertainty_N >= np.std(members, axis=0) - 1e-6).all()
    assert (folder / "best_model.pt").exists()


def _is_member(top, body) -> bool:
    states = (body["model_state_dict"], *body["members"])
    return any(
        all(torch.equal(top["model_state_dict"][name], state[name]) for name in state) for state in states
    )


def test_an_ensemble_is_published_as_one_head(together, artwork_config, tmp_path):
    """One graph, one version; what it says is what the checkpoint says, and its manifest how to read it."""
    # proves A-18
    target = PublishTarget(store=ModelStore.at(tmp_path / "models"))
    export_artwork_backbone(artwork_config.backbone, target)
    version = export_artwork_head(artwork_config, target, checkpoint=together.checkpoint).version
    body = load_checkpoint(together.checkpoint, KIND)
    feature_BD = np.random.default_rng(0).normal(size=(3, body["input_dim"])).astype(np.float32)

    model = load_model(target.store, version, session=SessionSettings(provider="cpu", threads=1), stamps=None)
    judgement = Head(model).judge(feature_BD)

    score_N, uncertainty_N = judge_features(restore_judge(body), feature_BD)
    np.testing.assert_allclose(judgement.scores, score_N, atol=1e-4)
    np.testing.assert_allclose(judgement.uncertainties, uncertainty_N, atol=1e-4)
    calibration = version.manifest.calibration
    assert calibration.model_dump() == body["calibration"]
    assert "1 more" in version.manifest.provenance.notes[0]


def test_a_head_of_an_earlier_build_takes_features_as_they_are(together):
    """Its checkpoint has no scale; with a scale of 1 it scores the same (A-22)."""
    body = load_checkpoint(together.checkpoint, KIND)
    feature_ND = np.random.default_rng(0).normal(size=(5, body["input_dim"])).astype(np.float32)
    states = [body["model_state_dict"], *body["members"]]
    old = [{name: weight for name, weight in state.items() if "scale" not in name} for state in states]
    for state in states:
        state["scale.centre_D"].zero_()
        state["scale.factor_D"].fill_(1)

    expected = judge_features(restore_judge(body), feature_ND)

    earlier = judge_features(
        restore_judge({**body, "model_state_dict": old[0], "members": old[1:]}), feature_ND
    )
    assert np.array_equal(earlier, expected)
