import torch

from trainer.fashion.augmentation.mixup import PictureViews, shares_of


def test_a_picture_belongs_to_what_it_shows_in_proportion():
    """Garments of the batch keep one record each, partners outside it come beside; rows sum to 1."""
    # proves F-22
    row_B, partner_B = torch.tensor([7, 2, 5]), torch.tensor([2, 9, 5])

    row_M, share_BM = shares_of(row_B, partner_B, torch.tensor([0.75, 0.5, 1.0]))

    assert row_M.tolist() == [2, 5, 7, 9]
    assert share_BM.tolist() == [[0.25, 0, 0.75, 0], [0.5, 0, 0, 0.5], [0, 1, 0, 0]]


def test_a_garment_mixed_with_itself_is_whole():
    """Shares of the same record add up."""
    row_M, share_BM = shares_of(torch.tensor([1, 4]), torch.tensor([1, 4]), torch.tensor([0.6, 1.0]))

    assert row_M.tolist() == [1, 4]
    assert torch.allclose(share_BM, torch.eye(2))


def test_who_is_not_shown_is_not_there():
    """A partner of share 0 brings no record."""
    row_M, _ = shares_of(torch.tensor([1]), torch.tensor([3]), torch.tensor([1.0]))

    assert row_M.tolist() == [1]


def test_each_draw_takes_one_view_of_each_garment():
    """All views equally often, each with its own partner and share; the generator decides."""  # proves F-24
    vector_NVD = torch.arange(6.0).view(2, 3, 1)
    views = PictureViews(
        vector_NVD=vector_NVD,
        partner_NV=torch.tensor([[0, 1, 0], [1, 0, 1]]),
        share_NV=torch.tensor([[1, 0.75, 1], [1, 0.75, 1]]),
    )
    row_B = torch.zeros(3000, dtype=torch.int64)

    seen = views.draw(row_B, torch.Generator().manual_seed(0))
    again = views.draw(row_B, torch.Generator().manual_seed(0))

    picture_B = seen.picture_BD[:, 0]
    assert [0.3 < float((picture_B == view).float().mean()) < 0.37 for view in range(3)] == [True] * 3
    assert torch.equal(seen.picture_BD, again.picture_BD)
    assert set(seen.share_BM[picture_B == 1, 1].tolist()) == {0.25}
    assert set(seen.share_BM[picture_B != 1, 1].tolist()) == {0.0}
