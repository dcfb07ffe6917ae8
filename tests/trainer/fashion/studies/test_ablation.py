from dataclasses import replace

import pytest

from tests.trainer.fashion.conftest import read_json
from trainer.fashion.studies.ablation import ABLATION_FILE, ablate_standalone
from trainer.fashion.train import train_fashion
from trainer.loop.checkpoints import BEST

pytestmark = pytest.mark.slow


def test_the_second_stage_alone_is_reported_beside_both(house, gallery, tmp_path):
    """Same epochs, same garments; the difference with its interval, a verdict that fits it (F-9)."""
    space = replace(house.space, out=tmp_path)
    train_fashion(house.config, house.garments, gallery.image.version, space)

    body = ablate_standalone(house.config, house.garments, gallery.image.version, space)

    assert read_json(tmp_path / "results" / ABLATION_FILE) == body
    assert not (tmp_path / "ablation" / "checkpoints" / "standalone").exists()
    assert (tmp_path / "ablation" / "checkpoints" / BEST).exists()
    for figure in body["figures"].values():
        assert figure["low"] <= figure["with"] - figure["without"] <= figure["high"]
    low, high = body["figures"]["mrr"]["low"], body["figures"]["mrr"]["high"]
    assert body["verdict"] == (
        "yes" if low > 0 else "no, it harms" if high < 0 else "not told apart from chance"
    )
