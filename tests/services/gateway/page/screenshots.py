"""`python -m tests.services.gateway.page.screenshots`: every view in light, dark and phone width."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from cli.samples import draw_samples
from tests.services.gateway.page.browser import DESKTOP, PHONE, open_context, running_browser
from tests.services.gateway.page.shop import running_shop

_DOCS: Final = Path(__file__).resolve().parents[4] / "docs" / "pictures"
_PUBLISHED: Final = (("recommend", "light"), ("rank", "light"), ("overview", "light"), ("training", "dark"))
_GAP: Final = 24
_LOOKS: Final = (
    ("light", "light", DESKTOP, "en-GB"),
    ("dark", "dark", DESKTOP, "en-GB"),
    ("phone", "light", PHONE, "ko-KR"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Where the page is, and what is dropped on it."""

    url: str
    garments: Sequence[Path]
    graded: Sequence[Path]


def main() -> None:
    """Write the pictures; of a page that runs already where its address is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/page"), help="Folder of the pictures.")
    parser.add_argument("--url", default="", help="Address of a running page. Default: start one.")
    parser.add_argument("--docs", action="store_true", help="Also write the pictures of the README.")
    parser.add_argument("--view", choices=list(_VIEWS), action="append", help="Default: every view.")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with _opened(asked.url, asked.out) as pictures, running_browser() as browser:
        for name, theme, size, locale in _LOOKS:
            _take(browser, pictures, asked.out, (name, theme, size, locale), asked.view or list(_VIEWS))
    if asked.docs:
        _publish(asked.out)


@contextmanager
def _opened(url: str, out: Path) -> Iterator[Pictures]:
    if url:
        samples = draw_samples(out / "samples")
        garments = [path for path, _ in samples.garments.values()]
        yield Pictures(url=url, garments=garments, graded=list(samples.graded.values()))
        return
    with tempfile.TemporaryDirectory() as folder, running_shop(Path(folder)) as shop:
        yield Pictures(url=shop.url, garments=shop.garments, graded=shop.graded)


def _take(
    browser: Browser,
    pictures: Pictures,
    out: Path,
    look: tuple[str, str, tuple[int, int], str],
    views: Sequence[str],
) -> None:
    name, theme, size, locale = look
    context = open_context(browser, size=size, theme=theme, locale=locale)
    page = context.new_page()
    for view in views:
        page.goto("about:blank")
        _VIEWS[view](page, pictures)
        page.wait_for_load_state("networkidle")
        _load_pictures(page)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=out / f"{view}-{name}.png", full_page=size == DESKTOP and view not in _WINDOWED)
    context.close()


def _load_pictures(page: Page) -> None:
    """Wait for every picture, also for those that would be fetched once they are scrolled to."""
    page.evaluate(
        """() => Promise.all([...document.images].map((image) => {
             image.loading = 'eager';
             return image.decode().catch(() => null);
           }))"""
    )


def _publish(out: Path) -> None:
    """Write the README's pictures: the top of some views, and three phones beside each other."""
    _DOCS.mkdir(parents=True, exist_ok=True)
    for view, look in (
        ("recommend", "light"),
        ("rank", "light"),
        ("overview", "light"),
        ("training", "dark"),
    ):
        picture = Image.open(out / f"{view}-{look}.png").convert("RGB")
        picture.crop((0, 0, *DESKTOP)).save(_DOCS / f"{view}.webp", quality=76, method=6)
    phones = [Image.open(out / f"{view}-phone.png") for view in ("overview", "rank", "catalog")]
    strip = Image.new("RGB", (3 * PHONE[0] + 2 * _GAP, PHONE[1]), "white")
    for place, phone in enumerate(phones):
        strip.paste(phone, (place * (PHONE[0] + _GAP), 0))
    strip.save(_DOCS / "phone.webp", quality=76, method=6)


def _overview(page: Page, pictures: Pictures) -> None:
    page.goto(pictures.url)
    expect(page.locator(".stat")).to_have_count(6)
    expect(page.locator("main .skeleton")).to_have_count(0)
    page.locator("article.model summary").nth(1).click()


def _recommend(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/recommend?item=garment-00007")
    expect(page.locator(".item-card").first).to_be_visible()
    page.locator(".item-card .liked").nth(2).click()
    page.locator(".item-card .disliked").nth(4).click()
    expect(page.locator(".judged")).to_have_count(2)


def _bestsellers(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/recommend?mode=bestsellers")
    expect(page.locator(".trend-row").first).to_be_visible()


def _rank(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/rank")
    with page.expect_file_chooser() as chooser:
        page.locator(".drop-target").click()
    chooser.value.set_files([str(path) for path in pictures.graded[:6]])
    expect(page.locator(".uplot")).to_be_visible()


def _training(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/training")
    expect(page.locator(".uplot").first).to_be_visible()


def _catalog(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/catalog")
    expect(page.locator(".item-card").first).to_be_visible()


def _item(page: Page, pictures: Pictures) -> None:
    page.goto(f"{pictures.url}#/catalog?item=garment-00007")
    expect(page.locator("dialog h3")).to_be_visible()


# Longer than a look at them needs.
_WINDOWED: Final = ("catalog", "item")
_VIEWS: Final[dict[str, Callable[[Page, Pictures], None]]] = {
    "overview": _overview,
    "recommend": _recommend,
    "bestsellers": _bestsellers,
    "rank": _rank,
    "training": _training,
    "catalog": _catalog,
    "item": _item,
}


if __name__ == "__main__":
    main()
