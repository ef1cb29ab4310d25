"""Accessibility rules, checked by axe-core in the page itself."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

#: Web Content Accessibility Guidelines 2.0, 2.1 and 2.2, levels A and AA.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_OPTIONS = {"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"]}


async def violations(page: Page) -> list[str]:
    """What breaks a rule on a page as it is now (lines: the rule, where, and why)."""
    found: dict[str, Any] = (await Axe().run(page, options=_OPTIONS)).response
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


_CUT_OFF = """() => {
  const wide = (element, text) => {
    const probe = document.createElement("span");
    probe.style.cssText = "position: absolute; visibility: hidden; white-space: pre";
    probe.style.font = getComputedStyle(element).font;
    probe.textContent = text;
    document.body.append(probe);
    const width = probe.getBoundingClientRect().width;
    probe.remove();
    return width;
  };
  const inner = (element) => {
    const style = getComputedStyle(element);
    return element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  };
  // The arrow of a select, and the button that clears a search, take part of their boxes.
  const ARROW = 18;
  const CLEAR = 20;
  const lines = [];
  for (const form of document.querySelectorAll(".filters")) {
    const box = form.getBoundingClientRect();
    for (const element of form.querySelectorAll("button, label, select, input")) {
      if (element.closest(".chips") && getComputedStyle(element.closest(".chips")).overflowX === "auto") continue;
      const { left, right } = element.getBoundingClientRect();
      if (left < box.left - 1 || right > box.right + 1) lines.push(`${element.tagName} leaves the form`);
      const inside = element.parentElement.getBoundingClientRect();
      if (right > inside.right + 1) lines.push(`${element.tagName} leaves its ${element.parentElement.tagName}`);
    }
    for (const select of form.querySelectorAll("select")) {
      const text = select.selectedOptions[0].label;
      const missing = wide(select, text) + ARROW - inner(select);
      if (missing > 1) lines.push(`"${text}" lacks ${Math.round(missing)} px`);
    }
    for (const input of form.querySelectorAll("input")) {
      const missing = wide(input, input.placeholder) + CLEAR - inner(input);
      if (missing > 1) lines.push(`"${input.placeholder}" lacks ${Math.round(missing)} px`);
    }
  }
  return lines;
}"""


async def cut_off(page: Page) -> list[str]:
    """Return which of the filters of a list don't fit their boxes (lines)."""
    found: list[str] = await page.evaluate(_CUT_OFF)
    return found


async def troubles(page: Page, what: str) -> list[str]:
    """Everything that keeps someone from using a page as it is now (lines).

    Args:
        page: The page to check.
        what: What is to be seen there.
    """
    return [f"{what}: {line}" for line in [*await violations(page), *await too_wide(page)]]
