"""The examples of docs/api.md, run as they stand, and answered as they say."""

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest

from conferral.runtime.web.json_requests import ERRORS_PAGE, STATUS
from conferral.webhooks.api.parameters import ErrorType
from tests.webhooks.api.api_helpers import TOKEN, put, report_status, session, take_up

pytestmark = pytest.mark.redis
ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CALL = "CA0123456789abcdef0123456789abcdef"


def requests():
    """Every curl of the page, with what the page says of its answer: the block that follows it."""
    for place, (language, text) in enumerate(BLOCKS):
        if language != "sh" or "curl" not in text:
            continue
        lines = text.strip().splitlines()
        follows = BLOCKS[place + 1] if place + 1 < len(BLOCKS) else ("", "")
        for line in lines:
            yield line, json.loads(follows[1]) if follows[0] == "json" and line == lines[-1] else None


def parsed(line):
    """What curl would send. Source: curl's manual, `--json`."""
    words = shlex.split(line.replace("$CONFERRAL_API_TOKEN", TOKEN))
    assert words.pop(0) == "curl"
    headers, body, url = {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "--json":
            body = json.loads(words.pop(0))
        else:
            url = word
    assert url.startswith("http://127.0.0.1:8080/")
    return "GET" if body is None else "POST", url.removeprefix("http://127.0.0.1:8080"), headers, body


@pytest.fixture
async def stranger(open_api):
    """The API for someone who brings nothing but what an example says."""
    return await open_api(headers={})


async def carry_out(store):
    while True:
        for command_id in await take_up(store):
            await report_status(store, command_id, "done", session_id=CALL)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(("line", "shown"), list(requests()), ids=lambda value: str(value)[-40:])
async def test_an_example_is_answered_as_the_page_says(stranger, store, line, shown):
    await put(store, session(CALL))
    method, path, headers, body = parsed(line)
    if path.startswith("/commands/"):
        await report_status(store, path.rpartition("/")[2], "done", session_id=CALL)
    worker = asyncio.create_task(carry_out(store))

    async with stranger.request(method, path, headers=headers, json=body) as response:
        if response.content_type == "text/event-stream":
            worker.cancel()
            assert await response.content.readline() == b"event: session\n"
            return
        reported = await response.json()
    worker.cancel()

    assert response.status in (200, 202), reported
    if shown is not None:
        assert reported.keys() == shown.keys()
        if "sessions" in shown:
            assert shown["sessions"][0].items() <= reported["sessions"][0].items()
        if "status" in shown:
            assert reported == shown
        for name in ("session", "identity"):
            assert reported.get(name) == shown.get(name)


def test_every_refusal_leads_to_a_section_that_says_what_to_do():
    sections = (ROOT / ERRORS_PAGE).read_text("utf-8").split("\n## ")[1:]

    found = {section.partition("\n")[0]: section for section in sections}
    assert set(found) == set(ErrorType)
    for kind, section in found.items():
        assert f"HTTP {STATUS[ErrorType(kind)]}." in section


def test_the_refusal_that_is_shown_has_the_shape_of_every_refusal():
    (shown,) = [json.loads(text) for language, text in BLOCKS if language == "json" and "error" in text]

    assert list(shown["error"]) == ["type", "reason", "allowed", "docs"]
