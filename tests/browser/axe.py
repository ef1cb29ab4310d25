"""Rules of accessibility, looked at by axe-core in the page itself."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

_LIBRARY = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
#: Web Content Accessibility Guidelines 2.0, 2.1 and 2.2, levels A and AA.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_LOOK = """async (rules) => {
  const found = await axe.run(document, {
    runOnly: { type: "tag", values: rules },
    resultTypes: ["violations"],
  });
  return { rules: found.passes.length + found.violations.length, violations: found.violations };
}"""


async def violations(page: Page) -> list[str]:
    """What breaks a rule on a page as it is now (lines: the rule, where, and why)."""
    # Through the debugger, as the driver does: the page's own policy would not let it in.
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(_LIBRARY)
    found: dict[str, Any] = await page.evaluate(_LOOK, _RULES)
    assert found["rules"] > 5, "hardly anything was looked at"
    return [
        f"{rule['id']}: {node['target']}: {' '.join(str(node['failureSummary']).split())}: {node['html'][:160]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def too_wide(page: Page) -> list[str]:
    """That the page is wider than its window, if it is: nobody shall have to scroll sideways (lines)."""
    wide, window = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return [f"{wide} px wide in a window of {window} px"] if wide > window else []


async def troubles(page: Page, what: str) -> list[str]:
    """Everything that keeps somebody from using a page as it is now (lines).

    Args:
        page: Where to look.
        what: What is to be seen there.
    """
    return [f"{what}: {line}" for line in [*await violations(page), *await too_wide(page)]]
