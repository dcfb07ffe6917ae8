"""The README's Python, run as it stands against running services."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2

from tests.integration.conftest import House, drawing

pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_of_the_readme_runs(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a.jpg, b.jpg and c.jpg in the folder it prints three places and five items."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for name, usual in (("ranker", "127.0.0.1:50052"), ("recommender", "127.0.0.1:50053")):
        assert usual in code
        code = code.replace(usual, house.addresses[name].grpc)
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / name).write_bytes(drawing(seed))
    with house.recommender() as recommender:
        recommender.upsert_items(
            catalog_pb2.UpsertItem(item_id=f"readme-{n}", image=drawing(n)) for n in range(8)
        )
    monkeypatch.chdir(tmp_path)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})

    lines = printed.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"]
    assert len(lines) == 3 + 5
