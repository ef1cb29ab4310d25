"""The page for owners has each price of docs/prices.toml, and calculates with them."""

import tomllib
from decimal import Decimal
from typing import Any

from tests.docs.generated import ROOT
from tests.support.each import each

PAGE = (ROOT / "docs/owners.md").read_text("utf-8")
README = " ".join((ROOT / "README.md").read_text("utf-8").split())
PRICES = tomllib.loads((ROOT / "docs/prices.toml").read_text("utf-8"))


def price(name: str) -> Decimal:
    return Decimal(PRICES[name]["price"])


def row(entry: dict[str, Any]) -> str:
    """The line of the page's table that an entry becomes."""
    price = f"${entry['price']}" if "price" in entry else "look it up"
    star = " *" if "quoted_in" in entry else ""
    return " ".join(f"| [{price}]({entry['page']}){star} | {entry['unit']} | {entry.get('read', '')} |".split())


@each("name", PRICES)
def test_every_price_is_in_the_page_with_its_source_and_day(name):
    assert row(PRICES[name]) in PAGE


@each("name", PRICES)
def test_a_price_names_the_day_on_which_it_was_read(name):
    assert ("price" in PRICES[name]) == ("read" in PRICES[name])
    assert PRICES[name]["page"].startswith("https://")


def test_the_minutes_are_calculated_with_these_prices():
    legs, browser, participant = price("inbound"), price("browser"), price("participant")
    minutes = {
        "a bridge of caller and agent": legs + browser,
        "a conference of the two": legs + browser + 2 * participant,
        "a consult:": legs + 2 * browser + 3 * participant,
        "a caller who waits in Conferral's queue": legs + participant,
    }
    for state, costs in minutes.items():
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {state}")]
        assert line.endswith(f"| ${costs} |"), state


def test_the_month_of_twenty_agents_is_calculated_with_these_prices():
    calls = 20 * 21 * 40
    transfers = calls // 10
    callers = calls * 5 + transfers * 5
    browsers = calls * 5 + transfers * (2 + 2 + 3)
    with_conferral = transfers * (3 * 2 + 2 * 3)
    from_the_start = calls * 5 * 2 + with_conferral
    legs = callers * price("inbound") + browsers * price("browser")
    conferral, conference = (legs + minutes * price("participant") for minutes in (with_conferral, from_the_start))
    flex = conference + 20 * price("flex")

    for minutes in (callers, browsers, with_conferral, from_the_start):
        assert f"{minutes:,} minutes" in PAGE
    assert f"${conferral:,.2f}" in PAGE.partition("\n## ")[0]
    assert f"${conferral:,.2f} a month" in README
    assert f"| **${conferral:,.2f}** | **${conference:,.2f}** | **${flex:,.2f}** |" in PAGE
    assert f"{calls:,} tasks of TaskRouter" in PAGE
