"""The README's Python, run as it stands against running services."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2

from tests.integration.conftest import House, drawing
from trainer.synthetic.artworks import write_artworks

pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_of_the_readme_runs(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the samples that `make up` draws it prints four places and five items."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for name, usual in (("ranker", "127.0.0.1:50052"), ("recommender", "127.0.0.1:50053")):
        assert usual in code
        code = code.replace(usual, house.addresses[name].grpc)
    write_artworks(tmp_path / "var" / "samples" / "graded", 4)
    with house.recommender() as recommender:
        recommender.upsert_items(
            catalog_pb2.UpsertItem(item_id=f"readme-{n}", image=drawing(n)) for n in range(8)
        )
    monkeypatch.chdir(tmp_path)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})

    lines = printed.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["1", "2", "3", "4"]
    assert len(lines) == 4 + 5
