"""Windows of a browser under watch: no error of a script, nothing that a policy blocked, no one else's address."""

import re
from collections.abc import Callable
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, ViewportSize

#: What belongs to this machine, or is no address of a network at all.
_OWN = re.compile(r"^(?:https?|wss?)://127\.0\.0\.1(?::\d+)?(?:/|$)|^(?:data|blob|about|chrome-error):")
_FOREIGN = re.compile(rf"^(?!{_OWN.pattern.replace('^', '')})")
#: Longest wait for something to show, ms. Long: nothing may fail because a machine is busy.
PATIENCE_MS = 15_000
WIDE: ViewportSize = {"width": 1280, "height": 860}
NARROW: ViewportSize = {"width": 360, "height": 740}


class Profiles:
    """Browser profiles that one test after another uses. Starting one takes a second of a processor.

    Cookies and permissions are cleared in between. What scripts store belongs to an address, and the servers of each
    test have ports of their own.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._unused: list[BrowserContext] = []

    async def take(self) -> BrowserContext:
        """Return a profile without cookies; it moves nothing on the screen that does not have to."""
        if self._unused:
            return self._unused.pop()
        context = await self._browser.new_context(reduced_motion="reduce", service_workers="block")
        context.set_default_timeout(PATIENCE_MS)
        return context

    async def give_back(self, context: BrowserContext) -> None:
        """Close the pages of a profile and clear it for the next test."""
        for page in context.pages:
            await page.close()
        await context.unroute_all()
        await context.clear_cookies()
        await context.clear_permissions()
        self._unused.append(context)


class Windows:
    """The windows of one test. Each call of `profile` is like another person's browser."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._taken: list[BrowserContext] = []
        self._allowed: list[re.Pattern[str]] = []
        self._wrong: list[str] = []
        self.foreign: list[str] = []
        self._listeners: dict[Any, Callable[[Any], None]] = {
            "page": self._watch,
            "console": self._heard,
            "weberror": lambda error: self._wrong.append(f"script: {error.error}"),
            "request": self._asked,
        }

    def allow(self, pattern: str) -> None:
        """Errors that a test brings about itself: a server that is gone, a request that is refused."""
        self._allowed.append(re.compile(pattern))

    @property
    def heard(self) -> list[str]:
        """Everything that went wrong so far, what is allowed too (lines)."""
        return self._wrong

    @property
    def wrong(self) -> list[str]:
        """What went wrong so far, without what is allowed (lines)."""
        return [line for line in self._wrong if not any(allowed.search(line) for allowed in self._allowed)]

    async def profile(self) -> BrowserContext:
        """Return a profile with its own cookies and storage."""
        context = await self._profiles.take()
        await context.route(_FOREIGN, lambda route: route.abort())
        for event, listener in self._listeners.items():
            context.on(event, listener)
        self._taken.append(context)
        return context

    async def open(
        self,
        url: str,
        *,
        context: BrowserContext | None = None,
        theme: Literal["light", "dark"] = "light",
        size: ViewportSize = WIDE,
    ) -> Page:
        """Open a window of a profile; of a new one if none is given."""
        page = await (context or await self.profile()).new_page()
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=theme)
        await page.goto(url)
        return page

    def _watch(self, page: Page) -> None:
        page.on("crash", lambda _: self._wrong.append(f"crashed: {page.url}"))
        page.on("websocket", lambda socket: self._note_address(socket.url))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self._wrong.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        self._note_address(request.url)

    def _note_address(self, url: str) -> None:
        if not _OWN.search(url):
            self.foreign.append(url)

    async def close(self) -> None:
        """Return the profiles; what their pages do while they close is watched too."""
        for context in self._taken:
            await self._profiles.give_back(context)
            for event, listener in self._listeners.items():
                context.remove_listener(event, listener)

    def report_errors(self) -> None:
        """Fails when something did."""
        lines = [*self.wrong, *(f"a foreign address: {url}" for url in self.foreign)]
        assert not lines, "\n".join(lines)
