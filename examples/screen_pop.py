"""A screen pop: a page that shows the agent's calls as they happen.

Needs API (the address of the webhooks process), API_TOKEN (a token that may read), and aiohttp. A browser's EventSource
can't send a token, and no browser should have one. So this server adds it, and decides whose calls a page may see.
"""

import os
from contextlib import suppress

import aiohttp
from aiohttp import web

PAGE = """<!doctype html><title>My calls</title><ul id="calls"></ul><script>
const me = "client:alice"  // in your app: who has signed in
const list = document.getElementById("calls"), events = new EventSource("calls")
events.onopen = () => list.replaceChildren()  // each connection starts over
events.onerror = () => events.readyState === EventSource.CLOSED && setTimeout(() => location.reload(), 3000)
events.addEventListener("session", event => {
  const call = JSON.parse(event.data)
  document.getElementById(call.id)?.remove()
  const isMine = Object.values(call.parties).some(one => one.address === me && one.status !== "left")
  if (call.state === "ended" || !isMine) return
  const line = list.appendChild(document.createElement("li"))
  line.id = call.id
  const customer = call.parties.customer?.address ?? "unknown"
  line.textContent = `${customer} on ${call.number ?? "no number"} ${call.ref ?? ""}`  // the number tells the brand
})
</script>"""


async def page(_request: web.Request) -> web.Response:
    """Show the page."""
    return web.Response(text=PAGE, content_type="text/html")


async def calls(request: web.Request) -> web.StreamResponse:
    """Pass the agent's calls on."""
    agent = "client:alice"  # in your app: who has signed in
    headers = {"Authorization": f"Bearer {os.environ['API_TOKEN']}", "Accept": "text/event-stream"}
    url = f"{os.environ['API']}/sessions"
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(sock_read=60)) as client,
        client.get(url, params={"party": agent}) as events,
    ):
        response = web.StreamResponse(status=events.status, headers={"Content-Type": events.content_type})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the agent has closed the page
            async for some in events.content.iter_any():
                await response.write(some)
    return response


def make_app() -> web.Application:
    """Return the application."""
    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/calls", calls)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)
