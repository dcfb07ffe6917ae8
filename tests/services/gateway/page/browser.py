"""Debian's Chromium without a window, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP: Final = (1280, 860)
PHONE: Final = (360, 780)


def chromium() -> str:
    """Where Chromium is: ATELIER_TEST_BROWSER, else the first on the path; empty without one."""
    return os.environ.get("ATELIER_TEST_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), "")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser without a window. Raises playwright's Error: if it does not start."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def open_context(
    browser: Browser, *, size: tuple[int, int] = DESKTOP, theme: str = "light", locale: str = "en-GB"
) -> BrowserContext:
    """A new profile with its own settings and storage."""
    settings: dict[str, Any] = {"color_scheme": theme, "locale": locale, "reduced_motion": "reduce"}
    return browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        is_mobile=size == PHONE,
        has_touch=size == PHONE,
        **settings,
    )


def drop_files(page: Page, button: str, files: list[Path]) -> None:
    """Give pictures to the drop zone of that label, as its file chooser does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files([str(file) for file in files])
