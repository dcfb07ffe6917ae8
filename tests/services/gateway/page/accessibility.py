"""What axe-core finds in a page as it stands."""

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

_SERIOUS: Final = ("serious", "critical")
# Cards are alike: the first of each list stand for the others, which would take most of the time.
_LOOKED_AT: Final = {"exclude": [[".item-card:nth-child(n+4)"], [".skeleton"]]}


def serious_findings(page: Page, rules: list[str] | None = None) -> list[tuple[str, list[str]]]:
    """Rules that the page breaks seriously, with the elements; rules: the only ones to look at."""
    expect(page.locator("main .skeleton")).to_have_count(0)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    violations = Axe().run(page, context=_LOOKED_AT, options=options).response["violations"]
    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in violations
        if rule["impact"] in _SERIOUS
    ]
