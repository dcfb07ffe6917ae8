import numpy as np

from tests.trainer.fashion.evaluation.drawn_garments import draw_garments
from trainer.fashion.evaluation.probes import evaluate_probes, fit_probes, probe_scores


def test_probes_read_what_the_vectors_hold():
    """Style and category, which made the vectors; not the material, which did not."""
    encoded = draw_garments(400, noise=0.1)
    train, val = np.arange(300), np.arange(300, 400)
    probes = fit_probes(encoded.picture_ND[train], [encoded.garments[row] for row in train])

    queries = [encoded.garments[row] for row in val]
    figures, score_QN = evaluate_probes(probes, encoded.picture_ND[val], queries, np.arange(100))

    assert {probe.field for probe in probes} == {"style", "category"}
    assert figures["by_field"]["style"]["accuracy"] > 0.95
    assert (
        figures["by_field"]["category"]["accuracy"] > figures["by_field"]["category"]["commonest_word"] + 0.4
    )
    assert score_QN.shape == (100, 100)
    # Twelve kinds of garment in a hundred: its own is among the ten best of about eight alike.
    assert figures["recall"]["10"] > 0.7


def test_an_empty_query_is_indifferent():
    """Nothing asked for: every picture is as likely."""
    encoded = draw_garments(60, noise=0.1)
    probes = fit_probes(encoded.picture_ND, encoded.garments)
    nothing = [encoded.garments[0].__class__(**{**_fields(encoded.garments[0]), "attributes": {}})]

    assert not probe_scores(probes, encoded.picture_ND, nothing).any()


def test_rare_words_are_not_probed():
    """Four garments teach nothing."""
    encoded = draw_garments(4, noise=0.1)

    assert fit_probes(encoded.picture_ND, encoded.garments) == ()


def _fields(garment):
    names = ("item_id", "path", "attributes", "group", "picture_digest", "part")
    return {name: getattr(garment, name) for name in names}
