"""The page in a real browser over real services: what a shop, a school and an engineer do with it."""

import re
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2
from playwright.sync_api import Browser, Locator, Page, expect

from services.messages.contents import write_record
from tests.services.gateway.page.accessibility import serious_findings
from tests.services.gateway.page.browser import PHONE, drop_files
from tests.services.gateway.page.conftest import Visit, visiting
from tests.services.gateway.page.sample_runs import DONE, OTHER
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
HOSTILE = "<img src=x onerror=window.hacked=1>"


def cards(page: Page) -> Locator:
    """The items that results show."""
    return page.locator(".results .item-card")


def identifiers(page: Page) -> list[str | None]:
    """What results show, in their order."""
    return [card.get_attribute("data-item") for card in cards(page).all()]


def test_a_dropped_picture_finds_its_own_garment_and_each_card_is_the_next_query(
    visit: Visit, shop: Shop
) -> None:
    """Upload → results with scores; a card becomes the query, and Back undoes that (R-2, D-1)."""
    visit.open("recommend")
    drop_files(visit.page, "Drop a picture", [shop.garments[7]])

    expect(cards(visit.page).first).to_have_attribute("data-item", "garment-00007")
    expect(cards(visit.page).first.locator(".score")).to_have_text("1.00")
    cards(visit.page).nth(2).locator(".item-picture").click()
    expect(visit.page).to_have_url(re.compile(r"#/recommend\?item=garment-\d+"))
    expect(visit.page.locator(".subject[data-subject=item]")).to_be_visible()
    expect(cards(visit.page).first.locator(".chip.match").first).to_be_visible()


def test_a_like_changes_the_results_and_is_recorded(visit: Visit, shop: Shop) -> None:
    """Liking and disliking steer the next answer and reach the key figures (R-2, R-5)."""
    visit.open("recommend?item=garment-00003")
    expect(cards(visit.page)).to_have_count(24)
    before = identifiers(visit.page)
    liked = cards(visit.page).nth(9)
    chosen = liked.get_attribute("data-item")
    with visit.page.expect_response("**/api/recommend"):
        liked.get_by_role("button", name="I like this").click()

    expect(visit.page.locator(".judged")).to_contain_text(str(chosen))
    expect(visit.page.locator(f".results [data-item={chosen}]")).to_have_count(0)
    assert identifiers(visit.page) != before
    visit.page.wait_for_load_state("networkidle")
    with shop.recommender() as recommender:
        leads = recommender.get_kpis().leads
    assert sum(lead.liked_count for lead in leads) == 1
    assert sum(lead.shown_count for lead in leads) >= 24


def test_attributes_and_a_filter_are_chosen_from_the_vocabulary(visit: Visit) -> None:
    """An attribute query is built from the manifest's words by their display names, and filtered (R-3)."""
    visit.open("recommend")
    visit.page.get_by_role("button", name="Attributes", exact=True).click()
    visit.page.get_by_label("Category").first.select_option(label="dress")
    expect(cards(visit.page)).to_have_count(24)
    visit.page.locator("summary", has_text="Filter").click()
    visit.page.locator("#recommend-filter-colour").select_option(label="red")

    expect(visit.page.locator(".item-name .strong").first).to_contain_text("red")
    names = visit.page.locator(".results .item-name .strong").all_inner_texts()
    assert all(name.startswith("red ") for name in names)


def test_bestsellers_show_new_products_and_the_trend_behind_them(visit: Visit) -> None:
    """Without sales the proxy is named; pasted sales change that; a wrong line is pointed at (R-1, R-8)."""
    visit.open("recommend?mode=bestsellers")
    expect(visit.page.get_by_text("Without sales figures")).to_be_visible()
    expect(visit.page.locator(".trend-row").first).to_be_visible()
    visit.page.locator("#sales").fill("item,units\ngarment-00001,many")
    expect(visit.page.get_by_role("alert").filter(has_text="Line 2")).to_be_visible()
    visit.page.locator("#sales").fill("item,units\ngarment-00001,120\ngarment-00002,3")
    visit.page.get_by_role("button", name="Use these figures").click()

    expect(visit.page.get_by_text("The tenth with the most units sold.")).to_be_visible()
    expect(visit.page.locator(".strip [data-item=garment-00001]")).to_be_visible()


def test_pictures_are_ranked_and_a_broken_one_is_refused_with_its_reason(
    visit: Visit, shop: Shop, broken_picture: Path
) -> None:
    """Order, probabilities of each pair and calibration of the good; the reason of the bad (A-17, S-5)."""
    visit.open("rank")
    drop_files(visit.page, "Drop pictures to rank", [*shop.graded[:4], broken_picture])

    expect(visit.page.locator(".order > li")).to_have_count(4)
    expect(visit.page.locator(".order > li").last).to_have_attribute("data-id", re.compile("_C.png"))
    expect(visit.page.locator("[data-refused='broken.png']")).to_contain_text(re.compile("image|picture"))
    expect(visit.page.locator(".matrix tbody tr")).to_have_count(4)
    expect(visit.page.get_by_text("Temperature", exact=True)).to_be_visible()


def test_a_broken_picture_alone_says_what_is_wrong_and_which_request_it_was(
    visit: Visit, broken_picture: Path
) -> None:
    """The problem's detail and request id are shown where results would be (S-5)."""
    visit.expects_refusals = True
    visit.open("recommend")
    drop_files(visit.page, "Drop a picture", [broken_picture])

    failure = visit.page.locator(".results .failure")
    expect(failure).to_contain_text(re.compile("image|picture", re.IGNORECASE))
    expect(failure.locator("code")).to_have_text(re.compile(r"[0-9a-zA-Z-]{8,}"))


def test_a_promoted_version_shows_and_rolls_back(visit: Visit) -> None:
    """Promote asks once more, then the version in production changes on the page, and back (M-3, S-3)."""
    visit.open("overview")
    model = visit.page.locator("[data-model=artwork-head]")
    production = model.locator("[data-role=production]")
    expect(production).to_have_text("v1")
    model.locator("summary").click()
    model.get_by_role("button", name="Promote").click()
    model.get_by_role("button", name="Promote v2?").click()
    expect(production).to_have_text("v2")
    model.get_by_role("button", name="Roll back").click()

    expect(production).to_have_text("v1")


def test_a_service_that_is_down_is_named_and_the_page_recovers_by_itself(visit: Visit, shop: Shop) -> None:
    """The banner names the service; when it is back, banner and failure go without a click (S-8)."""
    visit.expects_refusals = True
    visit.open("recommend")
    expect(cards(visit.page).first).to_be_visible()
    killed = shop.kill("recommender")
    banner = visit.page.locator(".banner")
    expect(banner).to_have_attribute("data-missing", "recommender")
    visit.page.evaluate("location.hash = '#/recommend?item=garment-00009'")
    expect(visit.page.locator(".results .failure")).to_be_visible()
    shop.revive("recommender", killed)

    expect(banner).to_have_count(0)
    expect(cards(visit.page)).to_have_count(24)


def test_training_runs_are_shown_and_compared(visit: Visit) -> None:
    """Curves, figures, searches and samples of one run; differences of two (D-1)."""
    visit.open("training")
    expect(visit.page.locator("[data-run]")).to_have_count(3)
    expect(visit.page.locator(".uplot")).to_have_count(5)
    expect(visit.page.locator(".found.match")).to_be_visible()
    expect(visit.page.locator(".augmented li")).to_have_count(4)
    expect(visit.page.get_by_text("FileNotFoundError: metadata.csv: row 17")).to_be_visible()
    visit.page.get_by_label(f"Compare {OTHER}").check()

    expect(visit.page.get_by_role("columnheader", name=DONE).first).to_be_visible()
    expect(visit.page.locator("tr.differs")).to_contain_text("optimizer.learning_rate")


def test_an_item_is_uploaded_edited_and_deleted(visit: Visit, shop: Shop) -> None:
    """A new item gets suggested attributes, is found by its id, changed and deleted (R-4, R-9)."""
    visit.open("catalog")
    page = visit.page
    page.get_by_role("button", name="Upload").click()
    drop_files(page, "Drop the item’s picture", [shop.garments[12]])
    page.get_by_label("Item id", exact=True).fill("uploaded-1")
    page.get_by_role("button", name="Suggest attributes").click()
    expect(page.locator("#new-category")).not_to_have_value("")
    page.get_by_role("button", name="Add to the catalog").click()
    expect(page.get_by_text("uploaded-1 was saved")).to_be_visible()
    page.get_by_label("Go to an item").fill("uploaded-1")
    page.keyboard.press("Enter")
    page.locator("#edit-colour").select_option(label="pink")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog")).to_have_count(0)
    with shop.recommender() as recommender:
        assert recommender.get_item("uploaded-1").item.attributes["colour"] == "핑크"
    page.get_by_label("Go to an item").fill("uploaded-1")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()

    expect(page.get_by_text("uploaded-1 was deleted")).to_be_visible()
    expect(page.locator("[data-role=count]")).to_have_text("240 items")


def test_markup_in_attributes_is_shown_as_text(visit: Visit, shop: Shop) -> None:
    """What a catalog holds never becomes part of the page (S-11)."""
    record = write_record(
        {"category": HOSTILE, "colour": "<script>window.hacked=2</script>", "note": HOSTILE}
    )
    item = catalog_pb2.UpsertItem(
        item_id="aaa-hostile", image=shop.garments[1].read_bytes(), attributes=record
    )
    with shop.recommender() as recommender:
        recommender.upsert_items([item])
        visit.open("catalog?item=aaa-hostile")
        expect(visit.page.locator("dialog h3")).to_contain_text(HOSTILE)
        expect(visit.page.locator("[data-item=aaa-hostile] .item-name")).to_contain_text(HOSTILE)
        visit.open("recommend?item=aaa-hostile")
        expect(cards(visit.page).first).to_be_visible()
        visit.expects_refusals = True
        visit.open(f"recommend?item={HOSTILE}")
        expect(visit.page.locator(".results .failure")).to_be_visible()
        visit.open("recommend?item=aaa-hostile")
        expect(cards(visit.page).first).to_be_visible()
        recommender.delete_items(["aaa-hostile"])

    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator("main img[src=x]").count() == 0


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
    """Without a token the page asks; with it, everything loads, pictures included (S-11)."""
    with guarded_gateway(shop, tmp_path) as (url, secret), visiting(browser, url) as visit:
        visit.expects_refusals = True
        visit.open("catalog")
        visit.page.get_by_label("Token", exact=True).fill(secret)
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
        expect(visit.page.locator("main .skeleton")).to_have_count(0)
        sizes.update({name: size for name, size in visit.page.evaluate(ENTRIES) if size})

    assert 100_000 < sum(size for name, size in sizes.items() if "/api/" not in name) < 200_000
    assert all(name.startswith(visit.url) for name in sizes)
    assert min(times) < 1_000
