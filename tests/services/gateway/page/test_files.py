"""What the page is made of: vendored files as published, texts in two languages, nothing from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from tests.services.gateway.page.vendor import MANIFEST, PACKAGES, VENDOR, sha256

PAGE = VENDOR.parent
OWN = sorted(path for path in PAGE.rglob("*.js") if VENDOR not in path.parents)
STYLES = sorted((PAGE / "styles").glob("*.css"))
STATIC_IMPORT = re.compile(r"^(?:import|export)\b[^;]*?from ?['\"](\.[^'\"]+)['\"]", re.MULTILINE)
MARKUP_FROM_TEXT = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "dangerouslySetInnerHTML",
    "eval(",
    "new Function",
)
# Their keys are put together from a state or a name.
TEXT_USE = re.compile(r"\bt\(\s*(?:[\w.]+ \? )?[`']([a-z_]+\.[^`']*)[`']")


def texts(language: str) -> dict[str, str]:
    """The table of a language."""
    lines = (PAGE / "i18n" / f"{language}.js").read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"  '(.+?)': '(.*)',", line).groups() for line in lines if line.startswith("  "))  # type: ignore[union-attr, misc]


def test_vendored_files_are_the_published_ones() -> None:
    """Each file has the digest that the manifest names, and each package its version and licence text."""
    entries = json.loads(MANIFEST.read_text())["packages"]

    assert [(entry["name"], entry["version"]) for entry in entries] == [
        (package.package, package.version) for package in PACKAGES
    ]
    for entry in entries:
        assert len((VENDOR / entry["licence_file"]).read_text()) > 1_000
        for file in entry["files"]:
            assert sha256((VENDOR / file["file"]).read_bytes()) == file["sha256"], file
    listed = {file["file"] for entry in entries for file in entry["files"]}
    assert {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")} == listed


def test_both_languages_say_the_same() -> None:
    """Every text is there in English and in Korean, with the same places for values."""
    english, korean = texts("en"), texts("ko")

    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", korean[key])), key


def test_every_text_that_is_used_exists_and_every_text_is_used() -> None:
    """No view names a text that is not there; no text is left over."""
    source = "\n".join(path.read_text() for path in OWN if path.parent.name != "i18n")
    used = set(TEXT_USE.findall(source)) | set(re.findall(r"'([a-z_]+\.[a-z_]+)'", source))
    families = {key.partition("${")[0] for key in used if "${" in key}
    known = texts("en").keys()

    plain = {key for key in set(TEXT_USE.findall(source)) if "${" not in key}
    assert plain <= known, plain - known
    assert not {key for key in known if key not in used and not key.startswith(tuple(families))}


def imported(path: Path, known: set[Path]) -> set[Path]:
    """A module's imports and theirs, without what is loaded later."""
    for name in STATIC_IMPORT.findall(path.read_text(encoding="utf-8")):
        module = (path.parent / name).resolve()
        if module not in known:
            known |= imported(module, known | {module}) | {module}
    return known


def test_the_document_names_what_the_frame_needs() -> None:
    """Every module of the frame is fetched at once, instead of one import after the other."""
    named = re.findall(r'rel="modulepreload" href="/page/(.+?)"', (PAGE / "index.html").read_text())

    assert named == sorted(str(path.relative_to(PAGE)) for path in imported(PAGE / "app.js", set()))


@pytest.mark.parametrize("path", [*OWN, *STYLES, PAGE / "index.html"], ids=lambda path: path.name)
def test_nothing_is_inline_or_from_elsewhere(path: Path) -> None:
    """No address of another host, no markup from strings, no evaluated text; only api.js fetches."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"https?://", text)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "dangerouslySetInnerHTML",
        "eval(",
        "new Function",
    ):
        assert word not in text, word
    assert path.name == "api.js" or not re.search(r"\bfetch\(", text)
    assert len(text.splitlines()) <= 360
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text)
