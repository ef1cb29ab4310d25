"""What people do in a browser: sign in, pick up, press a button of the console. By what they see, never by an id."""

import re
from collections.abc import Sequence

from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.browser.browser_environment import Console
from tests.browser.windows import Windows


def phone(page: Page, name: str) -> Locator:
    """One phone on the page of phones."""
    return page.get_by_role("region", name=name, exact=True)


def key(on: Locator, label: str) -> Locator:
    """A button of a phone. Its label comes first, then the text for screen readers, then why it is disabled."""
    return on.get_by_role("button", name=re.compile(rf"^{label}\b"))


async def press(on: Locator, label: str) -> None:
    """Presses a button of a phone as soon as it can be pressed."""
    button = key(on, label)
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    await button.click()


async def call_alice(phones: Page) -> None:
    """The customer calls, and talks to the agent."""
    await press(phone(phones, "customer"), "Call")
    await press(phone(phones, "alice"), "Answer")
    await expect(phone(phones, "customer")).to_contain_text("you hear alice")


async def signed_in(windows: Windows, console: Console, **options: object) -> Page:
    """A window of the console, opened by the address that the command prints."""
    page = await windows.open(console.url, **options)
    await expect(page.get_by_role("table", name="Calls")).to_be_visible()
    return page


async def drawn(page: Page) -> None:
    """Wait until the page has drawn what it knows; before that, it has not even heard of a new size."""
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def resize(page: Page, size: ViewportSize) -> None:
    """Give the window a size, and let the page draw itself for it."""
    await page.set_viewport_size(size)
    await drawn(page)


def sessions(page: Page) -> Locator:
    """The rows of the list."""
    return page.get_by_role("table", name="Calls").locator("[data-id]")


def row(page: Page, session: str) -> Locator:
    """One session's row of the list."""
    return page.get_by_role("table", name="Calls").locator(f"[data-id='{session}']")


def call(page: Page) -> Locator:
    """The open call, next to the list or instead of it."""
    return page.get_by_role("article", name="Call")


async def open_session(page: Page, session: str) -> None:
    """Opens a session from the list."""
    await row(page, session).get_by_role("link").click()
    await expect(page).to_have_url(re.compile(f"#session/{session}$"))
    await expect(call(page).get_by_role("heading", level=1)).to_be_visible()


async def action(page: Page, label: str) -> Locator:
    """A command's button: one of the likely ones, or of those under More, which is opened for it."""
    button = call(page).get_by_role("button", name=re.compile(rf"^{label}(…)?$"))
    more = call(page).locator("details.more")
    await expect(more).to_be_attached()
    if not await button.is_visible() and await more.get_attribute("open") is None:
        await more.locator("summary").click()
    return button


async def give(page: Page, label: str, *, to: str = "", choices: Sequence[str] = ()) -> None:
    """Gives a command by its button, and by its form where it has one.

    Args:
        page: The console's, with the session opened.
        label: The button's.
        to: The destination.
        choices: What is picked in the form, such as a party; of a transfer, the button that sends it.
    """
    button = await action(page, label)
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    await button.click()
    if not to and not choices:
        return
    dialog = page.get_by_role("dialog")
    if to:
        await dialog.get_by_role("combobox", name="To").fill(to)
    if label == "Transfer":
        (label,) = choices
    else:
        for choice in choices:
            await dialog.get_by_role("radio", name=choice, exact=True).check()
    await dialog.get_by_role("button", name=label, exact=True).click()
    await expect(dialog).to_have_count(0)


async def unfold(page: Page) -> None:
    """Opens what engineers need of a call."""
    if await call(page).locator("details.details").get_attribute("open") is None:
        await call(page).locator("details.details > summary").click()


def given(page: Page, kind: str) -> Locator:
    """What became of a command that was given in this window."""
    return page.locator(".given > li").filter(has_text=re.compile(rf"^\s*{kind}\b"))
