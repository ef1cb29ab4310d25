"""GET /outcomes: typed, and polled without missing any."""

import jsonschema
import pytest

from conferral.outcomes.outcome import json_types
from conferral.storage.queries import session_reader
from conferral.webhooks.api import openapi
from tests.support.each import each
from tests.webhooks.api.api_helpers import CALLER, KEYS, ask

pytestmark = pytest.mark.redis
#: The fields of every entry.
EMPTY = dict.fromkeys(json_types(), "")


def outcome(number, **changes):
    return EMPTY | {"id": f"o-{number}", "kind": "session", "session": CALLER, "result": "ended"} | changes


async def add(store, *entries):
    return [(await store.xadd(KEYS.outcomes, one)).decode() for one in entries]


async def poll(api, query=""):
    status, body = await ask(api, "GET", f"/outcomes?{query}")
    assert status == 200, body
    return body


async def test_outcomes_are_typed_with_null_for_what_is_empty(api, store):
    attempt = {"to": "client:bob", "label": "t-1", "result": "no-answer", "rang_s": 20.5, "at": "2026-11-20T08:24:07Z"}
    await add(
        store,
        outcome(1, hold_s="0", answer_s="3.25", attempts=f"[{str(attempt).replace(chr(39), chr(34))}]"),
        outcome(2, kind="voicemail", duration_s="12", recordings='["RE1"]', mood="good"),
        {"kind": "odd", "hold_s": "long", "attempts": '[{"rang_s": "x"}, 7]'},  # another program's
    )

    first, second, odd = (await poll(api))["outcomes"]

    assert (first["hold_s"], first["answer_s"], first["attempts"], first["mode"]) == (0, 3.25, [attempt], None)
    assert (second["duration_s"], second["recordings"], second["attempts"], second["mood"]) == (
        12,
        ["RE1"],
        None,
        "good",
    )
    assert (odd["kind"], odd["hold_s"], odd["session"]) == ("odd", None, None)
    document = openapi.document("https://example.com")
    schema = {"$ref": "#/components/schemas/OutcomePage", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate({"outcomes": [first, second], "cursor": "1-1", "gap": False})


async def test_polling_with_the_cursor_gets_each_outcome_once(api, store):
    assert await poll(api) == {"outcomes": [], "cursor": "0-0", "gap": False}
    assert await poll(api, "after=0-0") == {"outcomes": [], "cursor": "0-0", "gap": False}

    ids = await add(store, *(outcome(number) for number in range(5)))
    seen, cursor = [], "0-0"
    for _ in range(4):
        page = await poll(api, f"after={cursor}&limit=2")
        seen, cursor = seen + [one["id"] for one in page["outcomes"]], page["cursor"]
        assert page["gap"] is False
    assert (seen, cursor) == ([f"o-{number}" for number in range(5)], ids[-1])
    assert await poll(api, f"after={ids[-1]}") == {"outcomes": [], "cursor": ids[-1], "gap": False}


async def test_filters_advance_the_cursor_over_what_they_leave_out(api, store, monkeypatch):
    monkeypatch.setattr(session_reader, "SCANNED_MAX", 400)
    other = [outcome(number, kind="transfer", session="other") for number in range(450)]
    ids = await add(store, *other, outcome("last"))

    first = await poll(api, "kind=session")
    assert (first["outcomes"], first["cursor"]) == ([], ids[399])
    second = await poll(api, f"kind=session&after={first['cursor']}")
    assert ([one["id"] for one in second["outcomes"]], second["cursor"]) == (["o-last"], ids[-1])
    assert len((await poll(api, "session=other&limit=500"))["outcomes"]) == 400
    assert (await poll(api, f"session={CALLER}&after={ids[-2]}"))["outcomes"][0]["id"] == "o-last"


async def test_gap_says_that_outcomes_after_the_position_are_gone(api, store):
    ids = await add(store, *(outcome(number) for number in range(6)))
    await store.xtrim(KEYS.outcomes, maxlen=3, approximate=False)

    gaps = {after: (await poll(api, f"after={after}"))["gap"] for after in ("0-0", ids[0], ids[3], ids[-1])}
    # Before Redis 7, no one knows whether there was anything before the first.
    counts_all = "entries-added" in await store.xinfo_stream(KEYS.outcomes)
    assert gaps == {"0-0": counts_all, ids[0]: True, ids[3]: False, ids[-1]: False}
    assert (await poll(api))["gap"] is False  # asks for what there is
    await store.xtrim(KEYS.outcomes, maxlen=0, approximate=False)
    assert await poll(api, f"after={ids[3]}") == {"outcomes": [], "cursor": ids[3], "gap": True}
    assert (await poll(api, f"after={ids[-1]}"))["gap"] is False


@each("query", ["after=1", "after=a-b", "after=1-1&after=2-2", "limit=0", "kind=call", "session=%7B", "cursor=1-1"])
async def test_wrong_parameters_are_named(api, query):
    status, body = await ask(api, "GET", f"/outcomes?{query}")
    assert (status, body["error"]["type"]) == (422, "invalid")
