"""Accessibility rules, checked by axe-core in the page itself."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

#: Web Content Accessibility Guidelines 2.0, 2.1 and 2.2, levels A and AA.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
#: Best practices besides.
_PRACTICES = ("landmark-unique", "empty-table-header")
_OPTIONS = {
    "runOnly": {"type": "tag", "values": _RULES},
    "resultTypes": ["violations"],
}


async def violations(page: Page, *more: str) -> list[str]:
    """What breaks a rule, or one of `more`, on a page as it is now (lines: the rule, where, and why)."""
    rules = {rule: {"enabled": True} for rule in (*_PRACTICES, *more)}
    found: dict[str, Any] = (await Axe().run(page, options=_OPTIONS | {"rules": rules})).response
    assert len(found["passes"]) + len(found["violations"]) > 5, "hardly anything was looked at"
    return [
        f"{rule['id']}: {node['target']}: {' '.join(str(node['failureSummary']).split())}: {node['html'][:160]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def too_wide(page: Page) -> list[str]:
    """That the page is wider than its window, if it is: no one shall have to scroll sideways (lines)."""
    wide, window = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return [f"{wide} px wide in a window of {window} px"] if wide > window else []


async def troubles(page: Page, what: str) -> list[str]:
    """Everything that keeps someone from using a page as it is now (lines).

    Args:
        page: The page to check.
        what: What is to be seen there.
    """
    return [f"{what}: {line}" for line in [*await violations(page), *await too_wide(page)]]
