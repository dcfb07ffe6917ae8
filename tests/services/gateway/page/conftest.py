"""A shop, a browser, and pages that fail their test when the console or the content policy complains."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.services.gateway.page.browser import chromium, open_context, running_browser
from tests.services.gateway.page.shop import Shop, running_shop

_REFUSED = "Failed to load resource: the server responded with a status of"
_UNREACHED = "Failed to load resource: net::"
_POLICY_WATCH = (
    "addEventListener('securitypolicyviolation', (event) => "
    "console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
)
_SLOWEST_MS = 20_000


@dataclass
class Visit:
    """A page in a profile of its own.

    expects_refusals: whether answers with an error status belong to the test.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    expects_refusals: bool = False

    def open(self, view: str) -> None:
        """Load a view from nothing, as a new visitor does."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#/{view}")
        expect(self.page.locator("h1")).to_be_visible()

    def note(self, message: ConsoleMessage) -> None:
        """Keep what the console says is wrong, but for refused answers that are expected."""
        is_refusal = message.text.startswith((_REFUSED, _UNREACHED))
        if message.type == "error" and not (is_refusal and self.expects_refusals):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")


def cards(page: Page) -> Locator:
    """The items that results show."""
    return page.locator(".results .item-card")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser without a window; without one installed the tests are skipped.

    Closed with the package: while it is open, an event loop of its own runs in this thread.
    """
    if not chromium():
        pytest.skip("no Chromium on this machine: `make browser` installs it")
    with running_browser() as running:
        yield running


@pytest.fixture(scope="package")
def shop(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The services with a filled catalog, started once."""
    assert browser.is_connected()
    with running_shop(tmp_path_factory.mktemp("shop")) as running:
        yield running


@pytest.fixture
def visit(shop: Shop, browser: Browser) -> Iterator[Visit]:
    """A first visit in English and light, at desktop size; the console must stay silent."""
    with visiting(browser, shop.url) as opened:
        yield opened


@pytest.fixture
def broken_picture(tmp_path: Path) -> Path:
    """A file that is named like a picture and is none."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    return path


class visiting:  # noqa: N801  # read as a verb, as `running_shop`
    """A visit as a context; leaving it fails if the console complained."""

    def __init__(self, browser: Browser, url: str, **look: object) -> None:
        self._context = open_context(browser, **look)  # type: ignore[arg-type]
        self._context.add_init_script(_POLICY_WATCH)
        self._context.set_default_timeout(_SLOWEST_MS)
        self._visit = Visit(page=self._context.new_page(), url=url)

    def __enter__(self) -> Visit:
        visit = self._visit
        visit.page.on("console", visit.note)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        return visit

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self._visit.complaints == []


expect.set_options(timeout=_SLOWEST_MS)
