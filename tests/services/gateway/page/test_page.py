"""The page in a real browser over real services: what a shop, a school and an engineer do with it."""

import re
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2
from playwright.sync_api import Page, Route, expect

from services.messages.contents import write_record
from tests.services.gateway.page.browser import drop_files
from tests.services.gateway.page.conftest import Visit, cards
from tests.services.gateway.page.sample_runs import ARTWORK, DONE, OTHER
from tests.services.gateway.page.shop import Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOSTILE = "<img src=x onerror=window.hacked=1>"


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
    expect(visit.page.locator("[data-run]")).to_have_count(4)
    expect(visit.page.locator(".uplot")).to_have_count(5)
    expect(visit.page.locator(".found.match")).to_be_visible()
    expect(visit.page.locator(".augmented li")).to_have_count(4)
    expect(visit.page.get_by_text("FileNotFoundError: metadata.csv: row 17")).to_be_visible()
    visit.page.get_by_label(f"Compare {OTHER}").check()

    expect(visit.page.get_by_role("columnheader", name=DONE).first).to_be_visible()
    expect(visit.page.locator("tr.differs")).to_contain_text("optimizer.learning_rate")
    visit.page.locator(f"[data-run='{ARTWORK}'] a").click()
    expect(visit.page.get_by_text("Pair accuracy by gap")).to_be_visible()
    expect(visit.page.get_by_text("Expected error 0.025 at temperature 2.4")).to_be_visible()


def test_the_catalog_is_turned_page_by_page_and_filtered(visit: Visit) -> None:
    """Pages go on and back; a filter leaves what has its words, and says when that is nothing (R-4)."""
    page = visit.page
    visit.open("catalog")
    shown = page.locator(".item-card")
    expect(shown.first).to_have_attribute("data-item", "garment-00000")
    page.get_by_role("button", name="Next").click()
    expect(shown.first).to_have_attribute("data-item", "garment-00048")
    page.locator("summary", has_text="Filter").click()
    page.locator("#catalog-filter-category").select_option(label="skirt")
    expect(page.locator("[data-role=count]")).to_contain_text("match")
    names = page.locator(".item-name .strong").all_inner_texts()
    assert names
    assert all(name.endswith(" skirt") for name in names)
    page.get_by_label("Released after").fill("2999-01-01")

    expect(page.get_by_text("No item satisfies the filter")).to_be_visible()


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


def test_an_answer_that_is_cut_off_is_asked_for_again(visit: Visit) -> None:
    """Half of an answer is a failure in its panel alone, and the next answer takes its place."""
    cut = {"content_type": "application/json", "body": '{"mo'}
    visit.page.route("**/api/models", lambda route: route.fulfill(**cut))
    visit.open("overview")
    failure = visit.page.locator(".failure").first
    expect(failure).to_contain_text("The gateway does not answer")
    visit.page.unroute("**/api/models")

    expect(visit.page.locator("[data-model=artwork-head]")).to_be_visible()
    expect(failure).to_have_count(0)


def test_a_gateway_without_the_chosen_collection_shows_its_first(visit: Visit) -> None:
    """The page asks for a collection that there is, also where it is not called fashion (R-4)."""
    visit.expects_refusals = True

    def other(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "collections": ["shoes"]})

    visit.page.route("**/api/services", other)
    with visit.page.expect_request("**/api/index?collection=shoes"):
        visit.open("overview")
    visit.page.unroute_all(behavior="ignoreErrors")


def test_a_suggested_identifier_is_one_that_the_catalog_takes(visit: Visit) -> None:
    """File names in any script give an identifier of ASCII letters; one of none gives a new one."""
    visit.open("overview")
    ask = "names => import('/page/views/catalog/upload-dialog.js').then(m => names.map(m.idFrom))"
    plain, mixed, other = visit.page.evaluate(ask, ["tee 1.jpg", "치마 red.png", "빨간 치마.jpg"])

    assert (plain, mixed) == ("tee-1", "red")
    assert re.fullmatch("item-[a-z0-9]+", other)


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
