"""Links, paths and modules that the docs name exist, and every page is on the map."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "var" and path.name[0] != "."}
CODE = re.compile(r"^```.*?^```|^    .*?$", re.MULTILINE | re.DOTALL)
WIDTH = 120

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    """The text without blocks of code."""
    return CODE.sub("", page.read_text())


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Files and anchors that a page links to; addresses apart."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            yield (page.parent / name).resolve() if name else page, anchor


@each_page
def test_links_resolve(page: Path) -> None:
    """Every linked file exists, and every anchor is a heading of it. (Q-6)"""
    missing = [
        f"{target}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in slugs(target))
    ]

    assert missing == []


@each_page
def test_paths_exist(page: Path) -> None:
    """Every path below a folder of the repository is there: `trainer/export.py`, `config/artwork.yml`."""
    named = {
        path
        for path in re.findall(r"(?<![\w./-])([a-z_]+/[\w./-]*\w/?)", page.read_text())
        if path.partition("/")[0] in ROOMS
    }

    assert sorted(path for path in named if not exists(path)) == []


def exists(path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / path).with_suffix(".py").exists()


def is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@each_page
def test_modules_exist(page: Path) -> None:
    """What the docs run with `python -m` or import from the rooms is there, by its name."""
    text = page.read_text()
    missing = [name for name in re.findall(r"python -m ([\w.]+\w)", text) if not is_module(name)]
    for module, names in re.findall(r"^ *from ([\w.]+) import ([\w, ]+)$", text, re.MULTILINE):
        if module.partition(".")[0] not in ROOMS:
            continue
        if not is_module(module):
            missing.append(module)
            continue
        source = ROOT / module.replace(".", "/")
        body = (source / "__init__.py" if source.is_dir() else source.with_suffix(".py")).read_text()
        missing += [f"{module}.{name}" for name in names.split(", ") if not re.search(rf"\b{name}\b", body)]

    assert missing == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "index.md"], ids=lambda page: page.name
)
def test_every_page_is_on_the_map(page: Path) -> None:
    """docs/index.md links every page and every decision. (Q-6)"""
    assert page in {target for target, _ in links(ROOT / "docs" / "index.md")}


@each_page
def test_prose_wraps(page: Path) -> None:
    """Lines of prose have at most 120 columns; tables and code may be longer, and so is what is generated."""
    if page.name == "api_reference.md":
        pytest.skip("generated: a comment is a line")
    wide = [line for line in prose(page).splitlines() if len(line) > WIDTH and line[0] != "|"]

    assert wide == []


@each_page
def test_catalog_has_one_spelling(page: Path) -> None:
    """Prose says catalog; the older spelling stays only in names of settings, metrics and files."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", prose(page))

    assert re.findall(r"\bcatalogues?\b", text, re.IGNORECASE) == []


def test_decisions_are_numbered_once() -> None:
    """A decision's file and heading have the same number, and no two decisions share it."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]

    assert len(set(numbers)) == len(numbers)
    for path, number in zip(decisions, numbers, strict=True):
        assert path.read_text().startswith(f"# {number}. "), path.name
