"""The lines of docs/requirements.md and the tests that name them.

    python -m tests.requirements      rewrites the lists of tests

A line is a list item, `- **A-1** …`; what follows its text is generated: the test files that name its id, or
the mark of a line that is not built yet.
"""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "requirements.md"
UNBUILT = "*Not built yet.*"

ID = re.compile(r"(?<![\w-])[AFRIMSXDQ]-\d{1,2}(?![\w-])")
_LINE = re.compile(r"^- \*\*(?P<id>[A-Z]-\d+)\*\* (?P<text>.*(?:\n  .*)*)\n", re.MULTILINE)
_SOURCES = ("*.py", "*.md", "*.yml", "*.yaml", "*.toml", "*.proto", "*.mako", "Makefile", "Dockerfile")
_OWN = ("tests/requirements.py", "tests/test_requirements.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One line. `tests`: paths from the root that the page lists; empty for a line that is not built."""

    id: str
    text: str
    built: bool
    tests: tuple[str, ...]


def read_requirements(page: str) -> dict[str, Requirement]:
    """Every line of the page by id, in its order. Raises ValueError: if an id has two lines."""
    lines: dict[str, Requirement] = {}
    for match in _LINE.finditer(page):
        if match["id"] in lines:
            raise ValueError(f"{match['id']} has two lines in docs/requirements.md")
        text, _, listed = match["text"].partition("\n  Tests: ")
        text = " ".join(text.split())
        lines[match["id"]] = Requirement(
            id=match["id"],
            text=text.replace(UNBUILT, "").strip(),
            built=UNBUILT not in text,
            tests=tuple(re.findall(r"`([^`]+)`", listed)),
        )
    return lines


def read_mentions(root: Path) -> Mapping[str, set[str]]:
    """By id, the files that name it: source, tests, docs, configuration and protos; this page apart."""
    mentions: defaultdict[str, set[str]] = defaultdict(set)
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        for mention in ID.findall(path.read_text(encoding="utf-8")):
            mentions[mention].add(name)
    return mentions


def _files(root: Path) -> Iterator[Path]:
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        if folder.name.startswith(".") or folder.name in ("var", "build", "dist", "requirements"):
            continue
        for pattern in _SOURCES:
            for path in sorted(folder.glob(pattern) if folder == root else folder.rglob(pattern)):
                if path != PAGE and "_pb2" not in path.name and path.relative_to(root).as_posix() not in _OWN:
                    yield path


def is_test(name: str) -> bool:
    """Whether a file, by its path from the root, is a test."""
    return name.startswith("tests/") and name.rpartition("/")[2].startswith("test_")


def write_tests(page: str, mentions: Mapping[str, set[str]]) -> str:
    """The page with the tests that name each line; a line that is not built keeps its mark."""

    def rewritten(match: re.Match[str]) -> str:
        text = " ".join(match["text"].partition("\n  Tests: ")[0].split())
        lines = _wrapped(f"- **{match['id']}** {text}", "")
        names = sorted(name for name in mentions.get(match["id"], ()) if is_test(name))
        if names and UNBUILT not in text:
            lines += _wrapped(f"Tests: {', '.join(f'`{name}`' for name in names)}.", "  ")
        return lines

    return _LINE.sub(rewritten, page)


def _wrapped(text: str, indent: str) -> str:
    return (
        textwrap.fill(
            text,
            width=118,
            initial_indent=indent,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )


def main() -> None:
    """Rewrite the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(write_tests(page, read_mentions(ROOT)), encoding="utf-8")


if __name__ == "__main__":
    main()
