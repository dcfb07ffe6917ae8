import pytest
from PIL import Image

from trainer.artwork.scoring import HeadScorer
from trainer.artwork.train import train_artwork
from trainer.errors import InvalidConfig, InvalidData

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(gallery, artwork_config, artworks, cache, tmp_path_factory):
    from inference.runtimes.device import SessionSettings
    from trainer.workspace import Workspace

    space = Workspace(
        store=gallery.store,
        out=tmp_path_factory.mktemp("scored"),
        cache=cache,
        session=SessionSettings(provider="cpu", threads=1),
    )
    short = artwork_config.training.model_copy(update={"max_epochs": 3})
    config = artwork_config.model_copy(update={"training": short})
    return train_artwork(config, artworks, gallery.backbone.version, space).checkpoint, space


def test_two_files_are_scored_by_a_checkpoint(trained, artworks):
    """Each has a score and how sure it is, and the two a probability (A-22)."""
    scorer = HeadScorer(*trained)

    one, other = scorer.score([artworks[0].path, artworks[3].path])

    assert (one.path, other.path) == (artworks[0].path, artworks[3].path)
    assert one.uncertainty > 0
    stated = scorer.probability(one, other)
    assert 0 < stated < 1
    assert stated + scorer.probability(other, one) == pytest.approx(1)
    assert (stated > 0.5) == (one.score > other.score)
    assert scorer.probability(one, one) == 0.5
    assert scorer.score([]) == []


def test_a_score_does_not_depend_on_the_others(trained, artworks):
    """A picture alone and among others scores the same."""
    scorer = HeadScorer(*trained)
    paths = [artwork.path for artwork in artworks[:9]]

    together = scorer.score(paths)

    assert together[4].score == pytest.approx(scorer.score(paths[4:5])[0].score, abs=1e-5)


def test_a_picture_beyond_the_bounds_names_the_setting(trained, tmp_path):
    """The bounds are the training's unless others are asked for (S-5)."""
    Image.new("RGB", (200, 100), "red").save(tmp_path / "wide.png")

    with pytest.raises(InvalidData, match=r"wide\.png: .*the bound is 0\.0 MP \(pictures\.megapixels\)"):
        HeadScorer(*trained, bounds={"megapixels": 0.01}).score([tmp_path / "wide.png"])
    with pytest.raises(InvalidConfig, match="megapixels"):
        HeadScorer(*trained, bounds={"megapixels": -1})
    assert HeadScorer(*trained).score([tmp_path / "wide.png"])
