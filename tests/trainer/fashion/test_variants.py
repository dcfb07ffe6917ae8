import pytest
import torch

from inference.attributes import AttributeSchema
from trainer.fashion.config import AttributeSettings, AugmentationSettings, FieldSettings
from trainer.fashion.variants import Fellows, RecordVariants

SETTINGS = AttributeSettings(
    fields=(
        FieldSettings(name="category", multiple=False, core=True, words=("코트", "셔츠", "팬츠")),
        FieldSettings(name="silhouette", multiple=False, core=True, words=("루즈", "타이트")),
        FieldSettings(name="style", multiple=True, core=True, words=("모던", "펑크", "레트로")),
        FieldSettings(name="colour", multiple=False, core=False, words=("블랙", "레드", "그린")),
    )
)
RECORDS = (
    {"category": "코트", "silhouette": "루즈", "style": ["모던"], "colour": "블랙"},
    {"category": "코트", "silhouette": "타이트", "style": ["펑크"], "colour": "레드"},
    {"category": "셔츠", "silhouette": "루즈", "style": ["레트로"], "colour": "그린"},
    {"style": ["모던"], "colour": "블랙"},
    {"style": ["펑크"], "colour": "레드"},
    {"category": "코트", "silhouette": "루즈", "style": ["모던"], "colour": "그린"},
)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    arrays = AttributeSchema(SETTINGS.preprocessing()).tensors(RECORDS)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _drawn(variants: RecordVariants, seed: int = 0) -> dict[str, torch.Tensor]:
    row_B = torch.arange(len(RECORDS)).repeat(200)
    return variants.draw(row_B, torch.Generator().manual_seed(seed))


def test_fellows_are_other_garments_of_the_category(tensors):
    """All of them and equally often; who is alone, or says no category, borrows from nobody."""
    # proves F-22
    fellows = Fellows(tensors, ["category"])
    row_B = torch.arange(len(RECORDS)).repeat(1000)

    fellow_B = fellows.draw(row_B, torch.Generator().manual_seed(0))

    for row, expected in enumerate([{1, 5}, {0, 5}, {2}, {3}, {4}, {0, 1}]):
        drawn = fellow_B[row_B == row]
        assert set(drawn.tolist()) == expected
        assert all((drawn == one).float().mean() > 0.8 / len(expected) for one in expected)


def test_fellows_agree_in_every_field_that_is_asked_for(tensors):
    """Within category and style, lists as a whole."""  # proves F-22
    fellow_B = Fellows(tensors, ["category", "style"]).draw(
        torch.arange(len(RECORDS)), torch.Generator().manual_seed(0)
    )

    assert fellow_B.tolist() == [5, 1, 2, 3, 4, 0]


def test_a_coat_borrows_from_coats_what_is_no_part_of_the_query(tensors):
    """Lists and non-core fields only; category and silhouette are the garment's own."""  # proves F-22
    found = _drawn(RecordVariants(AugmentationSettings(mixing_rate=1.0), SETTINGS, tensors))

    first = slice(None, None, len(RECORDS))
    # Black is index 2, the coats are black, red and green; modern is index 2, punk 3.
    assert set(found["colour_index_B"][first].tolist()) == {3, 4}
    assert set(found["style_index_BL"][first, 0].tolist()) == {2, 3}
    assert set(found["silhouette_index_B"][first].tolist()) == {2}
    lonely = slice(2, None, len(RECORDS))
    assert set(found["colour_index_B"][lonely].tolist()) == {4}


def test_off_means_the_records_themselves_and_no_draw(tensors):
    """At rates of 0 the generator is left where it was: runs are what they were without augmentation."""
    # proves F-22
    variants = RecordVariants(
        AugmentationSettings(synonyms={"style": {"모던": ("펑크",)}}), SETTINGS, tensors
    )
    rng = torch.Generator().manual_seed(3)
    before = rng.get_state()
    row_B = torch.tensor([4, 0])

    found = variants.draw(row_B, rng)

    assert all(torch.equal(found[name], tensor[row_B]) for name, tensor in tensors.items())
    assert torch.equal(rng.get_state(), before)


def test_the_generator_decides_what_is_drawn(tensors):
    """The same state, the same variants; another, others; torch's global generator is not touched."""
    # proves F-10, F-22
    settings = AugmentationSettings(
        mixing_rate=0.5,
        synonym_rate=0.5,
        emphasis_rate=0.5,
        synonyms={"style": {"모던": ("펑크",)}},
        emphasis={"style": {"레트로": ("모던",)}},
    )
    variants = RecordVariants(settings, SETTINGS, tensors)
    before = torch.get_rng_state()

    one, again, other = (_drawn(variants, seed) for seed in (1, 1, 2))

    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_schema_without_the_field_to_borrow_within_is_left_alone(tensors):
    """A catalogue of its own vocabulary trains with the same settings."""
    bare = AttributeSettings(fields=SETTINGS.fields[1:])
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("category")}

    found = _drawn(RecordVariants(AugmentationSettings(mixing_rate=1.0), bare, kept))

    assert torch.equal(found["colour_index_B"][: len(RECORDS)], tensors["colour_index_B"])
