"""The files of pages: libraries as they were published, no foreign address, modules that exist, and no markup."""

import base64
import hashlib
import re
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import CIMultiDict

from conferral.runtime.web.pages import (
    HEADERS,
    SHARED_FOLDER,
    add_headers,
    is_loopback_header,
    is_same_origin,
    page,
    sent_cookie,
    static_routes,
)
from tests.support.each import each

ROOT = Path(__file__).resolve().parent.parent.parent
VENDORED = SHARED_FOLDER / "vendor"
#: Everything that a page of ours may be served with.
STATIC = [
    folder
    for package in ("runtime/web", "console", "sandbox", "webhooks/desk")
    if (folder := ROOT / "conferral" / package / "static").is_dir()
]
OURS = [
    path for folder in STATIC for path in sorted(folder.rglob("*")) if path.is_file() and "vendor" not in path.parts
]
LIBRARIES = sorted(VENDORED.glob("*.mjs"))
MODULE_LINES_MAX = 500
IMPORT = re.compile(r"""^(?:import|export)\b[^"';(=]*?["']([^"']+)["'];?$""", re.MULTILINE)
BARE = {"preact", "preact/hooks", "htm/preact", "@preact/signals"}
#: What would make text from outside markup, a script or a style, or what the page's policy blocks without a word.
NEVER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|document\.write"
    r"|\beval\(|new Function|\bstyle=\"|javascript:|\bon[a-z]+=\""
)
#: What a browser would ask someone else for. A name space is a name, not an address: no one fetches it.
FOREIGN = re.compile(r"""(?:https?:|wss?:)?//(?!www\.w3\.org/)[a-z0-9-]+(?:\.[a-z0-9-]+)+""", re.IGNORECASE)
#: Links that a person may follow, and texts to be copied: shown, never fetched.
LINKED = re.compile(r"^https://(?:www\.twilio\.com|console\.twilio\.com|1\.twilio\.com)(?:/|$)")


def test_libraries_are_unchanged_copies_with_their_licences():
    packages = tomllib.loads((VENDORED / "VENDOR.toml").read_text("utf-8"))["package"]
    listed = {name: file for package in packages for name, file in package["files"].items()}
    assert {path.name for path in VENDORED.iterdir()} == {*listed, "VENDOR.toml"}
    for name, file in listed.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == file["sha256"], name
    for package in packages:
        licences = [name for name in package["files"] if name.startswith("LICENSE.")]
        assert licences, package["name"]
        assert package["licence"] in ("MIT", "Apache-2.0", "ISC", "MPL-2.0")
        assert package["integrity"].startswith("sha512-")


@each("path", [*OURS, *LIBRARIES])
def test_pages_load_nothing_from_other_hosts(path):
    if path.suffix not in (".js", ".mjs", ".css", ".svg", ".html"):
        pytest.fail(f"{path.suffix} is no kind of file that is served")
    text = _without_comments(path.read_text("utf-8"))
    assert [found for found in FOREIGN.findall(text) if not LINKED.match(found)] == []


def _without_comments(text: str) -> str:
    """A comment may name its source. What stands in a string stays: there `//` begins no comment."""
    return re.sub(r"/\*.*?\*/|(?m:^\s*//.*$)", "", text, flags=re.DOTALL)


def served_as(path: Path) -> list[Path]:
    """Where a file may be found by its neighbors: on a page, `shared/` is next to the page's own files."""
    if path.exists():
        return [path]
    parts = path.parts
    if "shared" not in parts:
        return []
    found = SHARED_FOLDER.joinpath(*parts[parts.index("shared") + 1 :])
    return [found] if found.exists() else []


@each("path", [path for path in OURS if path.suffix == ".js"])
def test_modules_ask_for_what_there_is_and_are_short(path):
    text = path.read_text("utf-8")
    missing = [
        wanted
        for wanted in IMPORT.findall(text)
        if wanted not in BARE and not (wanted.startswith(".") and served_as((path.parent / wanted).resolve()))
    ]
    assert not missing
    assert len(text.splitlines()) <= MODULE_LINES_MAX


@each("path", [path for path in OURS if path.suffix in (".js", ".css")])
def test_text_never_becomes_markup(path):
    assert not NEVER.findall(path.read_text("utf-8"))


@pytest.fixture
async def client(tmp_path):
    (tmp_path / "main.js").write_text("export {};")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "row.mjs").write_text("export {};")
    app = web.Application()
    app.on_response_prepare.append(add_headers)
    app.add_routes(static_routes(tmp_path))
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        # Python 3.12 prefers `text`; browsers take both.
        ("main.js", "/javascript"),
        ("parts/row.mjs", "/javascript"),
        ("shared/vendor/preact.mjs", "/javascript"),
        ("shared/icon.svg", "image/svg+xml"),
    ],
)
async def test_files_are_served_as_what_they_are(client, path, kind):
    answer = await client.get(f"/static/{path}")
    assert answer.status == 200
    assert answer.content_type.endswith(kind)
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "shared/..%2fmain.js",
        "..%2f..%2fserving.py",
        "%2fetc%2fpasswd",
        "none.js",
    ],
)
async def test_nothing_else_is_served(client, path):
    answer = await client.get(f"/static/{path}", allow_redirects=False)
    assert answer.status == 404


def test_the_policy_allows_nothing_inline_but_the_import_map():
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    document = page("<A & B>", styles=["a.css"], modules=["main.js"])
    scripts = re.findall(r"<script(?! type=\"module\")[^>]*>(.*?)</script>", document, re.DOTALL)
    (imports,) = scripts
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert "<title>&lt;A &amp; B&gt;</title>" in document
    for path in re.findall(r'"(\./[^"]+)"', imports):
        assert (SHARED_FOLDER / path.removeprefix("./static/shared/")).is_file()


@each(
    "headers, ours",
    [
        ({}, True),
        ({"Origin": "http://console.example"}, True),
        ({"Origin": "https://console.example"}, False),
        ({"Origin": "https://console.example", "X-Forwarded-Proto": "https"}, True),
        ({"Origin": "https://console.example", "X-Forwarded-Proto": "HTTPS, http"}, True),
        ({"Origin": "http://console.example", "X-Forwarded-Proto": "https"}, False),
        ({"Origin": "ws://console.example"}, False),
        ({"Origin": "console.example"}, False),
        ({"Origin": "http://elsewhere.example"}, False),
        ({"Origin": "http://console.example.elsewhere.example"}, False),
        ({"Origin": "http://console.example:81"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": "https://console.example:443", "X-Forwarded-Proto": "https"}, False),
        ({"Host": "console.example:444", "Origin": "https://console.example:444", "X-Forwarded-Proto": "https"}, True),
        ({"Host": "CONSOLE.example", "Origin": "http://console.example"}, True),
        ({"Origin": "http://console.example/"}, False),
        ({"Origin": "http://user@console.example"}, False),
        ({"Origin": f"http://{'a' * 300}", "Host": "a" * 300}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_cross_origin_request_is_detected(headers, ours):
    request = make_mocked_request("POST", "/commands", headers={"Host": "console.example", **headers})
    assert is_same_origin(request) is ours


def test_of_two_origins_none_counts():
    headers = CIMultiDict([("Host", "console.example"), *[("Origin", "http://console.example")] * 2])
    assert not is_same_origin(make_mocked_request("POST", "/commands", headers=headers))


@each(
    "cookies, found",
    [
        ([], ""),
        (["a=1"], "1"),
        (["b=2; a=1; c=3"], "1"),
        (["b=2", "a=1"], "1"),
        (["aa=2; b=a=3; xa=4"], ""),
        (["a=; a=2"], ""),
        (['b="; a=1'], "1"),
    ],
)
def test_a_cookie_is_found_by_its_name(cookies, found):
    request = make_mocked_request("POST", "/", headers=CIMultiDict(("Cookie", one) for one in cookies))
    assert sent_cookie(request, "a") == found


def test_a_cookie_is_read_from_at_most_four_kilobytes():
    fits, longer = ["b=" + "1" * 2_043, "a=" + "1" * 2_049], ["b=" + "1" * 2_044, "a=" + "1" * 2_049]
    for cookies, is_fine in ((fits, True), (longer, False)):
        request = make_mocked_request("POST", "/", headers=CIMultiDict(("Cookie", one) for one in cookies))
        with nullcontext() if is_fine else pytest.raises(web.HTTPRequestHeaderFieldsTooLarge):
            assert sent_cookie(request, "a") == "1" * 2_049


@each(
    "host, is_here",
    [
        ("127.0.0.1", True),
        ("127.1.2.3:80", True),
        ("localhost:8081", True),
        ("phones.localhost", True),
        ("[::1]:8081", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("[", False),
        ("", False),
        ("localhost.", True),
        ("user@localhost", False),
        ("localh\u00f6st", False),
        (f"{'a.' * 200}localhost", False),
    ],
)
def test_hosts_of_this_machine(host, is_here):
    assert is_loopback_header(host) is is_here
