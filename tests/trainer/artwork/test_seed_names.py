import pytest
import torch

from trainer.artwork.batches import pair_loss
from trainer.artwork.data.splits import split_artworks
from trainer.artwork.seed_names import DataSplitter, MarginRankingLoss, PairwiseDataset, Trainer
from trainer.artwork.train import train_artwork


def test_the_splitter_deals_as_every_run_does(artworks):
    """80/10/10 with whole artists, from any sequence (A-2, A-22)."""
    assert DataSplitter(seed=7).split(list(artworks)) == split_artworks(artworks, 7)


def test_the_dataset_is_of_every_cross_tier_pair(artworks):
    """Each pair has its two works and who is better; numbers and iteration agree (A-4, A-22)."""
    some = artworks[:12]
    dataset = PairwiseDataset(some)

    items = list(dataset)

    assert [dataset[number] for number in range(len(dataset))] == items
    assert dataset[-1] == items[-1]
    assert {frozenset((one.image_id, other.image_id)) for one, other, _ in items} == {
        frozenset((one.image_id, other.image_id)) for one in some for other in some if one.rank != other.rank
    }
    assert all((1 if one.rank > other.rank else -1) == label for one, other, label in items)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_the_loss_is_the_one_that_heads_are_trained_with():
    """As `torch.nn`'s with margin 1, and as the loss of a batch (A-9, A-22)."""
    score_B = torch.tensor([0.2, 1.5, -0.3])
    better_P, worse_P = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])

    loss = MarginRankingLoss()(score_B[better_P], score_B[worse_P], torch.ones(3))

    assert loss == pair_loss(score_B, better_P, worse_P, margin=1.0)
    assert loss == pytest.approx((2.3 + 0.5 + 0.0) / 3)


@pytest.mark.slow
def test_the_trainer_makes_the_run_of_the_command(gallery, artwork_config, artworks, space, tmp_path):
    """The same figures as `train_artwork` (A-22)."""
    short = artwork_config.training.model_copy(update={"max_epochs": 1})
    config = artwork_config.model_copy(update={"training": short})

    report = Trainer(config, gallery.backbone.version, space).train(list(artworks))

    again = train_artwork(config, artworks, gallery.backbone.version, space, overwrite=True)
    assert report.body["test"] == again.body["test"]
