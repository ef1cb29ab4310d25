"""Windows of a browser under watch: no error of a script, nothing that a policy blocked, no one else's address."""

import re
from collections.abc import Mapping
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

#: What belongs to this machine, or is no address of a network at all.
_OWN = re.compile(r"^(?:https?|wss?)://127\.0\.0\.1(?::\d+)?(?:/|$)|^(?:data|blob|about|chrome-error):")
_FOREIGN = re.compile(rf"^(?!{_OWN.pattern.replace('^', '')})")
#: Longest wait for something to show, ms. Long: nothing may fail because a machine is busy.
PATIENCE_MS = 15_000
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 360, "height": 740}


class Windows:
    """The windows of one test. Each call of `profile` is like another person's browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._profiles: list[BrowserContext] = []
        self._allowed: list[re.Pattern[str]] = []
        self._wrong: list[str] = []
        self.foreign: list[str] = []

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

    async def profile(self, *, theme: str = "light", size: Mapping[str, int] = WIDE, **options: Any) -> BrowserContext:
        """A profile of its own: cookies, storage, preferences; nothing moves in it that does not have to."""
        context = await self._browser.new_context(
            color_scheme=theme, viewport=dict(size), reduced_motion="reduce", service_workers="block", **options
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.route(_FOREIGN, lambda route: route.abort())
        context.on("page", self._watch)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self._wrong.append(f"script: {error.error}"))
        context.on("request", self._asked)
        self._profiles.append(context)
        return context

    async def open(self, url: str, *, context: BrowserContext | None = None, **options: Any) -> Page:
        """A window of a profile, which is a new one where none is given; `options` are the profile's."""
        page = await (context or await self.profile(**options)).new_page()
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
        for context in self._profiles:
            await context.close()

    def report_errors(self) -> None:
        """Fails when something did."""
        lines = [*self.wrong, *(f"somebody else's address: {url}" for url in self.foreign)]
        assert not lines, "\n".join(lines)
