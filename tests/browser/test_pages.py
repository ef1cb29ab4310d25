"""What our pages may do in a browser: use their libraries, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import expect

from conferral.runtime.web.pages import add_headers, page, static_routes
from conferral.runtime.web.server import run_server
from tests.browser.browser_actions import signed_in
from tests.browser.desk_stage import button
from tests.browser.host_page import embedded
from tests.browser.scripted_desk import ScriptedDesk, ready, session, talk
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

COUNTER = """
import { signal } from "@preact/signals";
import { html, render } from "htm/preact";
import { useState } from "preact/hooks";

const pressed = signal(0);
const Counter = () => {
  const [name] = useState("counter");
  return html`<button data-name=${name} onClick=${() => pressed.value++}>pressed ${pressed} times</button>`;
};
render(html`<${Counter} />`, document.getElementById("page"));
"""


@asynccontextmanager
async def served(windows: Windows, folder: Path, *, script: str, extra: str = "") -> AsyncIterator[str]:
    """A page with one script, below a path; yields its address. The windows close first: icons are fetched late."""
    (folder / "main.js").write_text(script)
    (folder / "main.css").write_text("button { color: rgb(1, 2, 3) }")

    async def document(_request: web.Request) -> web.Response:
        text = page("A page", styles=["main.css"], modules=["main.js"]).replace("</body>", f"{extra}</body>")
        return web.Response(text=text, content_type="text/html")

    below = web.Application()
    below.add_routes([web.get("/", document), *static_routes(folder)])
    app = web.Application()
    app.on_response_prepare.append(add_headers)
    app.add_subapp("/some/path", below)
    async with run_server(app, "127.0.0.1", 0, shutdown_s=1) as port:
        yield f"http://127.0.0.1:{port}/some/path/"
        await windows.close()


async def test_a_page_runs_its_libraries_below_any_path(windows, tmp_path):
    async with served(windows, tmp_path, script=COUNTER) as url:
        shown = await windows.open(url)
        button = shown.get_by_role("button")
        await button.click()
        await button.click()
        await expect(button).to_have_text("pressed 2 times")
        await expect(button).to_have_css("color", "rgb(1, 2, 3)")


async def test_a_page_that_is_there_no_longer_says_that_it_loads(stage, console, windows):
    for shown in (await signed_in(windows, console), await windows.open(stage.phones_url)):
        await expect(shown.get_by_role("main")).to_be_visible()
        await expect(shown.locator("body")).not_to_contain_text("Loading…")


#: What someone may have slipped into a page, and which part of the policy stops it.
SLIPPED_IN = [
    ("<script>document.title = 'taken over'</script>", "inline script"),
    ("<img src='data:,' onerror=\"document.title = 'taken over'\">", "inline event handler"),
    ("<script src='http://127.0.0.1:9/theirs.js'></script>", "theirs.js"),
    ("<style>body { display: none }</style>", "inline style"),
    ("<iframe src='http://127.0.0.1:9/'></iframe>", "Framing"),
    ("<img src='http://127.0.0.1:9/seen.png'>", "seen.png"),
]


async def test_scripts_injected_into_a_page_do_not_run(windows, tmp_path):
    windows.allow("Content Security Policy")
    extra = "".join(text for text, _ in SLIPPED_IN)
    async with served(windows, tmp_path, script=COUNTER, extra=extra) as url:
        shown = await windows.open(url)
        await expect(shown.get_by_role("button")).to_be_visible()
        await expect(shown).to_have_title("A page")
        for _, stopped in SLIPPED_IN:
            assert any(stopped in line for line in windows.heard), (stopped, windows.heard)


async def test_a_page_speaks_with_its_own_server_only(windows, tmp_path):
    windows.allow("Content Security Policy|Failed to fetch|violates")
    asks = (
        COUNTER
        + """
fetch("http://127.0.0.1:9/").catch(() => { document.title = "asked in vain"; });
"""
    )
    async with served(windows, tmp_path, script=asks) as url:
        shown = await windows.open(url)
        await expect(shown).to_have_title("asked in vain")
        assert any("connect-src" in line for line in windows.heard), windows.heard


#: What a translator does to texts: it puts each into elements of its own, and never looks at them again.
TRANSLATE = """() => {
  const hostOf = (node) => node.getRootNode().host;
  const isLeft = (node) => node.closest("[translate=no]") || (hostOf(node) && isLeft(hostOf(node)));
  const walk = (root) => {
    for (const node of [...root.childNodes]) {
      if (node.nodeType === Node.TEXT_NODE && node.data.trim() && !isLeft(node.parentElement ?? root.host)) {
        const font = document.createElement("font");
        font.textContent = node.data;
        node.replaceWith(font);
      } else if (node.nodeType === Node.ELEMENT_NODE && node.localName !== "script") {
        walk(node);
        if (node.shadowRoot) walk(node.shadowRoot);
      }
    }
  };
  walk(document.body);
}"""


async def test_no_translator_touches_what_changes(stage, console, windows):
    """The pages of console and phones, and the desk at home and in a page of another origin."""
    async with ScriptedDesk() as desk, embedded(windows) as (hosted, host):
        pages = [
            await signed_in(windows, console),
            await windows.open(stage.phones_url),
            await ready(windows, desk),
            hosted,
        ]
        await expect(button(hosted, "Go ready")).to_be_visible()
        for page in pages:
            await page.evaluate(TRANSLATE)
        assert [await page.locator("font").count() for page in pages] == [0, 0, 0, 1], "the button of the host itself"
        await button(hosted, "Go ready").click()
        for page, server in ((pages[2], desk), (hosted, host)):
            await talk(page, server)
            await server.push("session", session(state="ended"))
            await expect(page.get_by_text(f"You talk to {CUSTOMER}")).to_have_count(0)
