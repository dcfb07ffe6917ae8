"""The page for everyone: readable, by keyboard, on a phone, with a token, from a terminal, soon there."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.services.gateway.page.accessibility import serious_findings
from tests.services.gateway.page.browser import PHONE, drop_files
from tests.services.gateway.page.conftest import Visit, cards, visiting
from tests.services.gateway.page.shop import Shop, guarded_gateway
from tests.services.gateway.page.snippet_runner import copied, run_snippet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VIEWS = (
    "overview",
    "recommend?item=garment-00007",
    "recommend?mode=bestsellers",
    "rank",
    "training",
    "catalog",
)
NOW = "new Promise((done) => requestAnimationFrame(() => done(performance.now())))"
ENTRIES = """['resource', 'navigation'].flatMap((type) => performance.getEntriesByType(type))
    .map(({ name, encodedBodySize }) => [name, encodedBodySize])"""


@pytest.mark.parametrize(("theme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_every_view_is_accessible(shop: Shop, browser: Browser, theme: str, rules: list[str] | None) -> None:
    """axe-core finds nothing serious in any view, nor in a dialog; in the dark, colours are what differs."""
    with visiting(browser, shop.url, theme=theme) as visit:
        for view in (*VIEWS, "catalog?item=garment-00007"):
            visit.open(view)
            assert serious_findings(visit.page, rules) == [], view


def test_nothing_is_wider_than_a_phone(shop: Shop, browser: Browser) -> None:
    """At 360 pixels no view scrolls sideways, and the browser's language is spoken."""
    with visiting(browser, shop.url, size=PHONE, locale="ko-KR") as visit:
        for view in VIEWS:
            visit.open(view)
            expect(visit.page.locator("main .skeleton")).to_have_count(0)
            wide = visit.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE[0], view
        expect(visit.page.locator("h1")).to_have_text("카탈로그")


def test_it_works_by_keyboard_and_keeps_its_settings(visit: Visit) -> None:
    """Skip link, views and cards answer to keys; language and theme outlast a reload."""
    page = visit.page
    visit.open("recommend")
    expect(cards(page).first).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    cards(page).first.locator(".item-picture").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".subject")).to_be_visible()
    page.get_by_role("button", name="한국어로 보기").click()
    page.locator("[data-role=theme]").click()
    page.locator("[data-role=theme]").click()
    page.reload()

    expect(page.locator("h1")).to_have_text("추천")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_token_is_asked_for_where_the_gateway_wants_one(
    shop: Shop, browser: Browser, tmp_path: Path
) -> None:
    """The page asks for a token, after a wrong one again; with the right one pictures load too (S-11)."""
    with guarded_gateway(shop, tmp_path) as (url, secret), visiting(browser, url) as visit:
        visit.expects_refusals = True
        visit.open("catalog")
        token = visit.page.get_by_label("Token", exact=True)
        for attempt in ("wrong", secret):
            expect(token).to_have_value("")
            token.fill(attempt)
            visit.page.get_by_role("button", name="Use this token").click()
        expect(visit.page.locator(".item-card img").first).to_have_attribute("src", re.compile("^blob:"))


def test_what_copy_as_offers_works_as_it_is(visit: Visit, shop: Shop, tmp_path: Path) -> None:
    """Each view's curl, Python and grpcurl answer what the view shows, pictures included."""
    page, pictures = visit.page, shop.garments[7].parent
    visit.open("recommend")
    drop_files(page, "Drop a picture", [shop.garments[7]])
    expect(cards(page).first).to_be_visible()
    for name, text in copied(page).items():
        assert "garment-00007" in run_snippet(name, text, pictures, tmp_path)
    visit.open("rank")
    drop_files(page, "Drop pictures to rank", list(shop.graded[:2]))
    expect(page.locator(".order > li")).to_have_count(2)
    for name, text in copied(page).items():
        assert shop.graded[0].name in run_snippet(name, text, shop.graded[0].parent, tmp_path)
    for view, answer in (("catalog", "garment-00000"), ("recommend?mode=bestsellers", "proxy")):
        visit.open(view)
        texts = copied(page)
        for name in ("curl", "grpcurl"):
            assert answer in run_snippet(name, texts[name], pictures, tmp_path).lower()
    visit.open("training")
    expect(page.locator(".uplot").first).to_be_visible()
    assert "loss_curve" in run_snippet("curl", copied(page)["curl"], pictures, tmp_path)


def test_the_first_load_is_small_and_quick(visit: Visit) -> None:
    """Less than 200 kB before the first view stands, in less than 1 s at best, and all from the gateway."""
    sizes, times = {}, []
    for _ in range(4):
        visit.open("overview")
        times.append(visit.page.evaluate(NOW))
        expect(visit.page.locator(".stat")).to_have_count(6)
        sizes.update({name: size for name, size in visit.page.evaluate(ENTRIES) if size})

    assert 40_000 < sum(size for name, size in sizes.items() if "/api/" not in name) < 200_000
    assert all(name.startswith(visit.url) for name in sizes)
    assert min(times) < 1_000
