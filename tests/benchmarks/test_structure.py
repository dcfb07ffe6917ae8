"""What the counters of the tree count, on a small tree."""

from pathlib import Path

import pytest

from benchmarks.structure import (
    WIDE_FOLDER_FILES,
    read_modules,
    recurring_classes,
    single_importers,
    wide_folders,
)

SOURCES = {
    "services/__init__.py": "",
    "services/messages.py": "import inference.pixels\n",
    "services/ranker/__init__.py": "",
    "services/ranker/__main__.py": "from services.ranker import servicer\n",
    "services/ranker/servicer.py": (
        "from services.ranker.ordering import rank\nfrom services import messages\n\n\nclass Outcome: ...\n"
    ),
    "services/ranker/ordering.py": (
        "def rank():\n    from services import messages\n\n\nclass _Outcome: ...\n"
    ),
    "inference/__init__.py": "",
    "inference/pixels.py": "class Outcome: ...\n\n\nclass Pixels:\n    class Inner: ...\n",
    "inference/session.py": "from inference import pixels\n\n\nclass Inner: ...\n",
    "benchmarks/structure.py": "class Pixels: ...\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_modules_are_those_of_the_product(root: Path) -> None:
    """Modules of the rooms have dotted names and their lines; benchmarks do not count."""
    modules = read_modules(root)

    assert set(modules) == {
        "services", "services.messages", "services.ranker", "services.ranker.__main__",
        "services.ranker.servicer", "services.ranker.ordering", "inference", "inference.pixels",
        "inference.session",
    }  # fmt: skip
    assert modules["inference.pixels"].line_count == 5
    assert modules["services.ranker.ordering"].imports == {"services", "services.messages"}


def test_a_single_importer_is_counted_lazy_imports_too(root: Path) -> None:
    """A module that one other imports is listed with it; two importers, packages and entry points are not."""
    assert single_importers(read_modules(root)) == {
        "services.ranker.servicer": "services.ranker.__main__",
        "services.ranker.ordering": "services.ranker.servicer",
    }


def test_only_public_top_level_classes_recur(root: Path) -> None:
    """A name that two modules define is listed with both; private and nested classes are not."""
    assert recurring_classes(read_modules(root)) == {
        "Outcome": ["inference.pixels", "services.ranker.servicer"]
    }


def test_a_folder_is_wide_beyond_its_bound(root: Path) -> None:
    """`__init__` does not count, and the bound itself is not beyond it."""
    for number in range(WIDE_FOLDER_FILES - 2):
        (root / "inference" / f"module_{number}.py").write_text("")
    assert wide_folders(read_modules(root)) == {}

    (root / "inference" / "another.py").write_text("")

    assert wide_folders(read_modules(root)) == {(root / "inference").as_posix(): WIDE_FOLDER_FILES + 1}
