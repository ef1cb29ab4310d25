"""One session over the socket: how it stands, its log, what can be done, time travel, and its history as a file."""

import json
from dataclasses import replace

import msgspec
import pytest

from conferral.commands.forms import command_forms
from conferral.console import session_view
from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, TransferMode
from tests.conferral.cli_helpers import (
    CALL,
    KEYS,
    conferenced,
    consult,
    log_entry,
    make_session,
    put,
    put_desk,
    stored_fields,
)
from tests.console.console_helpers import Page, commit
from tests.support.flat_sessions import session_of

pytestmark = pytest.mark.redis
AGENT_CALL = "CA" + "2" * 32
SESSION = {"view": "session", "id": CALL}


def asked(effect_id="e1", at_ms=1_800_000_000_000):
    effects = msgspec.json.encode([{"id": effect_id, "kind": "redirect_call", "party": "agent"}]).decode()
    return log_entry("convert", at_ms, after="converting", effects=effects, version="5")


def succeeded(effect_id="e1", at_ms=1_800_000_000_340):
    more = {"details": '{"kind": "redirect_call", "party": "agent"}', "effect": effect_id, "version": "6"}
    return log_entry("effect_succeeded", at_ms, before="converting", after="converting", **more)


async def test_session_message_lists_parties_audibility_and_allowed_commands(console, redis):
    consult(redis)
    page = await Page.open(console, SESSION)

    reported = await page.next("session")

    assert (reported["id"], reported["asked"], reported["known"]) == (CALL, CALL, True)
    assert reported["fields"]["state"] == "transferring"
    customer, agent, target = reported["parties"]
    assert (customer["name"], customer["held"], customer["hears"]) == ("customer", True, [])
    assert customer["words"] == "customer is on hold and hears music"
    assert (agent["hears"], target["hears"]) == (["target"], ["agent"])
    expected = {one.type: one.allowed for one in command_forms(session_of(stored_fields(redis)))}
    assert {one["type"]: one["allowed"] for one in reported["buttons"]} == expected
    assert expected["complete"]
    assert reported["summary"]
    assert {wait["by"] for wait in reported["waits"]} >= {"sweep"}
    assert all(wait.keys() == {"for", "since", "comes_at", "by"} for wait in reported["waits"])
    assert reported["links"][CALL] == f"https://www.twilio.com/console/voice/calls/logs/{CALL}"


async def test_forms_offer_agents_with_a_desk_and_no_address_that_was_only_dialed(console, redis):
    consult(redis)
    commit(redis, Session("CA" + "7" * 32, parties={
        "customer": Party("customer", "customer-1", address="client:caller"),
        "agent": Party("agent", "agent-1", address="client:judy", status=PartyStatus.CONNECTED),
        "mistyped": Party("mistyped", "mistyped-1", address="client:crol", status=PartyStatus.DIALING),
        "target": Party("target", "target-1", address="+14155550177", answered=True),
    }, attempts=(Attempt("target", "client:grace", "d2", 1, result="no-answer"),)))  # fmt: skip
    for identity, status in (("heidi", "ready"), ("judy", "ready"), ("ivan", "away")):
        put_desk(redis, identity, identity.title(), status, renewed_ms=redis.time()[0] * 1000, keys=KEYS)
    page = await Page.open(console, SESSION)

    shown = await page.next("session", lambda message: message["destinations"])

    assert shown["destinations"] == [
        {"to": "client:heidi", "name": "heidi", "status": "ready"},
        {"to": "client:ivan", "name": "ivan", "status": "away"},
        {"to": "client:judy", "name": "judy", "status": "busy"},
    ]


async def test_forms_offer_directory_names_and_explains_each_mode(open_console, redis):
    consult(redis)
    there = next(one.address for one in session_of(stored_fields(redis)).present.values())
    names = {"billing": "+14155550177", "colleague": "client:carol", "caller": there}
    console = await open_console(directory=lambda: names)
    page = await Page.open(console, SESSION)

    shown = await page.next("session", lambda message: message["destinations"])

    assert [one["to"] for one in shown["destinations"]] == ["billing", "colleague"], (
        "a name, or its address, of no one on the call"
    )
    (transfer,) = (one for one in shown["buttons"] if one["type"] == "transfer")
    (mode,) = (field for field in transfer["fields"] if field["name"] == "mode")
    assert mode["options"] == ["warm", "consult", "blind"]
    assert all(mode["meanings"])


async def test_lines_to_be_copied_begin_as_the_program_is_called_here(open_console, redis):
    consult(redis)
    console = await open_console(command_line="REDIS_URL=unix:///x .venv/bin/conferral")
    page = await Page.open(console, SESSION)

    hello, reported = await page.next("hello"), await page.next("session")

    assert hello["public_command"] == "REDIS_URL=unix:///x .venv/bin/conferral"
    assert hello["shown_token"] == ""
    assert f"complete {CALL}" in [one["arguments"] for one in reported["suggestions"]]
    assert "REDIS_URL" not in str(reported)


@pytest.mark.parametrize(
    ("api_url", "has_pages"),
    [
        ("", True),
        ("https://api.dublin.ie1.twilio.com", True),
        ("http://127.0.0.1:8081", False),
        ("https://a.nottwilio.com", False),
    ],
)
async def test_page_receives_the_api_address_and_whether_twilio_has_pages_for_it(open_console, api_url, has_pages):
    console = await open_console(
        variables={"TWILIO_API_URL": api_url, "CONFERRAL_PUBLIC_URL": "http://me:x@calls.example/"}
    )
    page = await Page.open(console, {"view": "health"})

    hello = await page.next("hello")

    assert hello["public_url"] == "http://calls.example"
    assert hello["has_twilio_pages"] is has_pages


async def test_unknown_session_is_shown_as_soon_as_it_exists(console, redis, monkeypatch):
    monkeypatch.setattr(session_view, "READ_EVERY_S", 0.2)
    page = await Page.open(console, SESSION)
    assert await page.next("session") == {"about": "session", "id": CALL, "asked": CALL, "known": False}

    put(redis, make_session())

    assert (await page.next("session"))["known"] is True


async def test_its_log_comes_once_and_a_moment_again_when_its_outcome_has_come(console, redis):
    put(redis, make_session(), log=[log_entry("call_received", version="1"), asked()])
    page = await Page.open(console, SESSION)
    first = await page.next("log")
    assert [entry["event"] for entry in first["entries"]] == ["call_received", "convert"]
    assert first["entries"][1]["effects"][0]["outcome"] == ""
    assert first["entries"][1]["at"] == "2027-01-15T08:00:00.000Z"

    commit(redis, replace(conferenced(), version=6), succeeded())
    second = await page.next("log")

    assert [entry["event"] for entry in second["entries"]] == ["convert", "effect_succeeded"]
    reported = second["entries"][0]["effects"][0]
    assert (reported["outcome"], reported["took_ms"]) == ("succeeded", 340)
    assert reported["requested_at"] == "2027-01-15T08:00:00.000Z"
    assert second["entries"][1]["requested_by"] == second["entries"][0]["entry"]


async def test_reconnecting_page_gets_only_the_entries_it_missed(console, redis, quick_ticks):
    put(redis, make_session(), log=[log_entry("call_received", version="1"), asked(), log_entry("transfer")])
    known = redis.xrange(KEYS.log(CALL))
    page = await Page.open(console, SESSION | {"after": known[-1][0]})
    await page.next("tick")
    assert not page.entries

    commit(redis, replace(conferenced(), version=6), succeeded())
    await page.next("log")
    await page.close()
    again = await Page.open(console, SESSION | {"after": known[-1][0]})
    await again.next("log")

    assert [one["event"] for one in page.entries.values()] == ["convert", "effect_succeeded"]
    assert again.entries == page.entries


def _place(entry):
    return tuple(map(int, entry["entry"].split("-")))


async def test_entries_removed_from_the_log_are_shown_to_no_one(console, redis, quick_ticks):
    """After a failover Redis may be an older copy, and a session can be forgotten: a page that is open meanwhile must
    not keep it alive for later viewers."""
    known = make_session()
    events = ("call_received", "convert", "hold")
    commit(redis, known, *(log_entry(event, 1_800_000_000_000 + number) for number, event in enumerate(events)))
    page = await Page.open(console, SESSION)
    await page.until(lambda page: len(page.entries) == 3)

    gone = [entry_id for entry_id, _ in redis.xrange(KEYS.log(CALL))[1:]]
    redis.xdel(KEYS.log(CALL), *gone)
    commit(redis, replace(known, version=known.version + 1), log_entry("end", 1_800_000_001_000))
    await page.until(lambda page: _events(page)[-1:] == ["end"])
    later = await Page.open(console, SESSION)
    await later.next("log")

    assert _events(page) == _events(later) == ["call_received", "end"]
    again = await Page.open(console, SESSION | {"after": gone[-1]})
    assert (await again.next("log"))["whole"]
    redis.delete(KEYS.log(CALL))
    commit(redis, replace(known, version=known.version + 2))
    await page.until(lambda page: not page.entries)


def _events(page):
    return [one["event"] for one in sorted(page.entries.values(), key=_place)]


async def test_numbers_are_cut_unless_the_page_wants_them_whole(console, redis):
    consult(redis, number="+14155550100")
    redis.xadd(KEYS.log(CALL), log_entry("transfer", details='{"mode": "+14155550145"}'))
    page = await Page.open(console, SESSION)
    await page.next("log")
    heard = json.dumps(page.heard)
    assert "4155550" not in heard
    assert "+\\u202623" in heard  # the customer's last digits

    await page.say(**SESSION, full=True)
    reported = await page.next("session")

    assert reported["fields"]["number"] == "+14155550100"
    assert reported["parties"][0]["address"] == "+14155550123"


async def test_numbers_in_sip_and_client_names_are_redacted_everywhere(console, redis, bridged):
    attempts = (
        Attempt("target", "sip:14155550145@pbx.example", "d1", 1_800_000_000_000),
        Attempt("target", "client:14155550145", "d2", 0),
    )
    session = make_session(transfer=TransferState(1, TransferMode.BLIND, ("client:bob",), attempts=attempts))
    agent = replace(session.parties["agent"], address="sip:14155550145@a")
    put(redis, replace(session, parties=session.parties | {"agent": agent}))
    redis.xadd(KEYS.log(CALL), log_entry("transfer", details='{"mode": "sip:14155550145@pbx.example"}'))
    page = await Page.open(console, SESSION)
    await page.next("log")

    assert "4155550" not in json.dumps(page.heard)


async def test_hidden_fields_are_never_sent_to_the_console(console, redis):
    put(redis, make_session(call_token="secret-call-token"))
    page = await Page.open(console, SESSION | {"full": True})

    await page.next("session")

    assert "secret-call-token" not in json.dumps(page.heard)
