"""A CRM's page with the desk in it, and a screen pop: the customer of the call that rings is shown next to it.

Needs DESK (the address under which browsers reach the desk, such as https://desk.example.com), API and API_TOKEN (the
webhooks process, and a token that may `desk`), and aiohttp. Name the origin of this page in CONFERRAL_DESK_ORIGINS.
"""

import html
import os

import aiohttp
from aiohttp import web

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>CRM</title>
<style>body { display: flex; gap: 2rem; font-family: Georgia, serif } conferral-desk { width: 24rem; flex: none }
conferral-desk { --desk-font: Georgia, serif; --desk-accent: #5b3fa8 }</style>
<conferral-desk></conferral-desk>
<main><h1>Customers</h1><p id="customer">No call.</p></main>
<script type="module" src="DESK/desk/conferral-desk.js"></script>
<script>
const desk = document.querySelector("conferral-desk"), shown = document.getElementById("customer")
desk.token = async () => (await (await fetch("desk-token", { method: "POST" })).json()).token
const show = async ({ detail }) => {  // your record of this order, ticket, or customer
  const about = { ...detail.params, ref: detail.ref ?? "" }  // a bot's params may be the caller's words: ref comes last
  const found = await fetch("customers?" + new URLSearchParams(about))
  shown.textContent = await found.text()
}
desk.addEventListener("desk-incoming", show)
desk.addEventListener("desk-ended", () => { shown.textContent = "No call." })
</script>"""


async def page(_request: web.Request) -> web.Response:
    """Show the page."""
    return web.Response(text=PAGE.replace("DESK", html.escape(os.environ["DESK"])), content_type="text/html")


async def desk_token(_request: web.Request) -> web.Response:
    """Get the agent a desk token. In your app, check first who has signed in, and that the request is your page's."""
    headers = {"Authorization": f"Bearer {os.environ['API_TOKEN']}"}
    agent = {"identity": "alice", "name": "Alice"}  # in your app: who has signed in
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{os.environ['API']}/desk/tokens", json=agent) as answer,
    ):
        return web.json_response(await answer.json(), status=answer.status)


async def customers(request: web.Request) -> web.Response:
    """Find a customer; in your app, in your database."""
    return web.Response(text=f"Reference: {request.query.get('ref') or 'none'}")


def make_app() -> web.Application:
    """Return the application."""
    app = web.Application()
    app.add_routes([web.get("/", page), web.post("/desk-token", desk_token), web.get("/customers", customers)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8090)
