"""Another program's web server, which answers Twilio with documents of its own."""

from typing import Self

from aiohttp import web

from conferral.runtime.web.server import run_server


class ForeignApp:
    """Answers each path with the verbs of a document, which may be changed.

    Attributes:
        url: Of the server, without a slash behind it.
        verbs: By path.
        asked: CallSids of those whom Twilio has asked for, oldest first.
    """

    def __init__(self, **verbs: str) -> None:
        self.url = ""
        self.verbs = verbs
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path}", self._answer)
        self._running = run_server(app, "127.0.0.1", 0, shutdown_s=1)
        self.url = f"http://127.0.0.1:{await self._running.__aenter__()}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._running.__aexit__(*exc)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(str(((await request.post()) or request.query).get("CallSid", "")))
        text = f"<Response>{self.verbs[request.match_info['path']]}</Response>"
        return web.Response(text=text, content_type="text/xml")
