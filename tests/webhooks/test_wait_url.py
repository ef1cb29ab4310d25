"""What someone who waits or is held hears."""

import xml.etree.ElementTree as ET
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import ProviderUnreachableError, StoreUnreachableError
from conferral.statemachine.parts import ConferenceAttributes, QueueOptions
from conferral.statemachine.states import Phase, WaitAudio
from conferral.webhooks import wait_url
from tests.support.metric_values import value_of
from tests.webhooks.documents import next_url
from tests.webhooks.webhook_helpers import (
    ACCOUNT,
    CALLER,
    CONFERENCE,
    PUBLIC_URL,
    a_party,
    facts,
    post,
)

MUSIC, RINGBACK = f"{PUBLIC_URL}/media/music.wav", f"{PUBLIC_URL}/media/ringback.wav"
FORM = {"AccountSid": ACCOUNT, "CallSid": CALLER, "ConferenceSid": CONFERENCE, "FriendlyName": CALLER}


def waiting(wait_audio="ringback", party="customer"):
    return f"/voice/wait?audio={wait_audio}&party={party}&session={CALLER}&v=1"


GREETING = f"/voice/wait?audio=music&greeting=1&party=customer&session={CALLER}&v=1"


def greeted(document):
    """What is said, and what is asked next."""
    return [say.text for say in ET.fromstring(document).iter("Say")], next_url(document, "Redirect")


def hears(wait_audio):
    return facts("transferring", customer=a_party(CALLER, wait_audio=wait_audio))


def awaited(**known):
    """A conference from the start, in which the caller is to arrive."""
    return facts("conferenced", **({"opening": "arriving"} | known))


def played(document):
    verbs = ET.fromstring(document)
    assert [verb.tag for verb in verbs] in (["Play", "Redirect"], ["Pause", "Redirect"])
    return verbs[0].text


@pytest.mark.parametrize(
    ("given", "asked_for", "expected"),
    [
        (hears(WaitAudio.RINGBACK), "ringback", RINGBACK),
        (hears(WaitAudio.MUSIC),    "music",    MUSIC),
        (hears(WaitAudio.MUSIC),    "ringback", MUSIC),        # the transfer has failed: the agent is rung again
        (hears(WaitAudio.RINGBACK), "music",    RINGBACK),
        (hears(WaitAudio.NONE),     "music",    MUSIC),
        (facts("ended"),       "ringback", RINGBACK),
        (None,                 "ringback", RINGBACK),     # no one knows the session
    ],
)  # fmt: skip
async def test_waiting_party_hears_what_the_session_says_now(client, webhook_store, given, asked_for, expected):
    webhook_store.facts = given

    status, document = await post(client, waiting(asked_for), FORM)

    assert (status, played(document)) == (200, expected)
    assert webhook_store.events == []


@pytest.mark.parametrize(
    "waited_s, every_s, asked, says",
    [(59, 60, 0, False), (61, 60, 0, True), (61, 60, 1, False), (500, 60, 1, True), (500, 0, 0, False)],
)
async def test_a_caller_in_a_queue_is_asked_to_hold_the_line(client, webhook_store, waited_s, every_s, asked, says):
    since_ms = SystemClock().wall_ms() - 1000 * waited_s
    webhook_store.facts = facts(
        "conferenced", phase=Phase.QUEUED, state_since_ms=since_ms, queue=QueueOptions(600, every_s)
    )
    url = waiting("music").replace("&v=1", "").replace("wait?", f"wait?asked={asked}&" if asked else "wait?") + "&v=1"

    _, document = await post(client, url, FORM)

    said, following = greeted(document)
    assert said == (["Please hold the line."] if says else [])
    assert (f"asked={waited_s // 60}" in following) is (every_s > 0 and waited_s > 60)


@pytest.mark.parametrize(("wait_audio", "expected"), [("music", "https://example.com/own.mp3"), ("ringback", RINGBACK)])
async def test_music_of_the_directory_replaces_ours_but_not_the_ringing(client, webhook_store, wait_audio, expected):
    webhook_store.facts = facts("transferring", attributes=ConferenceAttributes(wait_url="https://example.com/own.mp3"))

    _, document = await post(client, waiting(wait_audio), FORM)

    assert played(document) == expected


@pytest.mark.parametrize("fault", ["away", "hangs"])
async def test_without_redis_there_is_something_to_hear_all_the_same(
    client, webhook_store, metrics, lines, monkeypatch, fault
):
    monkeypatch.setattr(wait_url, "STORE_DEADLINE_S", 0.01)
    setattr(webhook_store, fault, True)

    status, document = await post(client, waiting(), FORM)

    assert (status, played(document)) == (200, RINGBACK)
    assert value_of(metrics.webhook_store_errors.labels("/voice/wait")) == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["store_unreachable"]


@pytest.mark.parametrize(
    ("name", "wait_audio", "value", "expected"),
    [
        ("CONFERRAL_MUSIC", "music", "https://example.com/a.mp3?x=1&y=2", "https://example.com/a.mp3?x=1&y=2"),
        ("CONFERRAL_RINGBACK", "ringback", "http://example.com/r.wav", "http://example.com/r.wav"),
        ("CONFERRAL_MUSIC", "music", "none", None),
        ("CONFERRAL_RINGBACK", "ringback", "none", None),
        ("CONFERRAL_MUSIC", "ringback", "none", RINGBACK),
        ("CONFERRAL_RINGBACK", "music", "none", MUSIC),
    ],
)
async def test_other_audio_or_none_is_a_setting(open_client, name, wait_audio, value, expected):
    client = await open_client(**{name: value})

    _, document = await post(client, waiting(wait_audio), FORM)

    assert played(document) == expected


# ---- the greeting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "setting", "expected"),
    [
        ("Good morning.", "Welcome.", ["Good morning."]),
        ("", "Welcome.", ["Welcome."]),
        ("Good morning.", None, ["Good morning."]),
        ("", None, []),
    ],
)
async def test_the_greeting_comes_first_and_leads_to_the_music(open_client, webhook_store, own, setting, expected):
    client = await open_client(CONFERRAL_GREETING=setting)
    webhook_store.facts = facts("conferenced", attributes=ConferenceAttributes(greeting=own))

    status, document = await post(client, GREETING, FORM)

    assert (status, *greeted(document)) == (200, expected, waiting("music"))
    assert webhook_store.reads == 1


CALLED = {"From": "+14155550123", "To": "+14155550100", "Direction": "inbound", "CallStatus": "in-progress"}
OPENING = waiting("music").replace("&party", "&opens=1&party")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(wait_url, "READ_EVERY_S", 0)


@pytest.mark.usefixtures("impatient")
async def test_caller_without_a_session_reopens_it(client, webhook_store, child_lookup):
    status, document = await post(client, OPENING, FORM | CALLED)

    assert (status, played(document)) == (200, MUSIC)
    (event,) = webhook_store.events
    assert (event.name, event.session_id, event.mode) == ("call_received", CALLER, "conference")
    assert event.customer_address == CALLED["From"]
    assert child_lookup.asked == [(CONFERENCE, CALLER)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "logged"),
    [
        ("in-company", []),
        ("twilio-odd", ["unexpected_error"]),
        (ProviderUnreachableError(), ["session_not_found"]),
        (StoreUnreachableError("away"), ["session_not_found"]),
        (TimeoutError(), ["session_not_found"]),
    ],
)
async def test_no_one_is_dialed_again_if_a_dial_may_already_exist(
    client, webhook_store, child_lookup, lines, monkeypatch, fault, logged
):
    child_lookup.alone = fault != "in-company"
    if fault == "twilio-odd":
        child_lookup.error = TypeError()
    elif isinstance(fault, ProviderUnreachableError):
        child_lookup.error = fault
    elif fault != "in-company":
        monkeypatch.setattr(webhook_store, "publish", AsyncMock(side_effect=fault))

    status, document = await post(client, OPENING, FORM | CALLED)

    assert (status, played(document)) == (200, MUSIC)
    assert webhook_store.events == []
    assert [line["event"] for line in lines if line["log_level"] in ("warning", "error")] == logged


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("known", "target", "changes"),
    [
        pytest.param(facts("conferenced"), OPENING, CALLED, id="opens-known"),
        pytest.param(facts("ended"), OPENING, CALLED, id="opens-ended"),
        pytest.param(None, OPENING, CALLED | {"CallSid": "CA" + "9" * 32}, id="opens-other-call"),
        pytest.param(None, OPENING, CALLED | {"ConferenceSid": ""}, id="opens-no-conference"),
        pytest.param(None, waiting("music"), {}, id="held-unknown"),
        pytest.param(awaited(customer=a_party(CALLER, in_conference=True)), waiting("music"), {}, id="known-to-be-in"),
        pytest.param(awaited(customer=a_party(CALLER, status="left")), waiting("music"), {}, id="gone"),
        pytest.param(awaited(opening="", conference_sid=CONFERENCE), waiting("music"), {}, id="known-conference"),
        pytest.param(facts("ended"), waiting("music"), {}, id="ended"),
        pytest.param(awaited(), waiting("music"), {"CallSid": "CA" + "9" * 32}, id="other-call"),
        pytest.param(awaited(), waiting("music"), {"ConferenceSid": ""}, id="no-conference"),
    ],
)
async def test_request_that_shows_nothing_new_reports_nothing(client, webhook_store, known, target, changes):
    webhook_store.facts = known

    status, document = await post(client, target, FORM | changes)

    assert (status, played(document)) == (200, MUSIC)
    assert webhook_store.events == []


@pytest.mark.parametrize(
    ("state", "party", "token"),
    [
        ("converting", a_party(CALLER, label="customer-1"), f"waits:{CONFERENCE}:{CALLER}"),
        ("ended", a_party(CALLER, label="customer-1", status="left"), f"waits:{CONFERENCE}:{CALLER}:after-end"),
    ],
)
async def test_party_whose_join_was_lost_is_reported_as_it_waits_in_silence(client, webhook_store, state, party, token):
    """No list need show a conference with one party, and after the end, no one else would free it from there."""
    webhook_store.facts = facts(state, conference_sid="", customer=party)

    status, document = await post(client, waiting("silence"), FORM)

    assert (status, played(document)) == (200, None)
    (event,) = webhook_store.events
    assert (event.name, event.token, event.call_sid, event.start_on_enter) == (
        "participant_joined",
        token,
        CALLER,
        True,
    )


# ---- the request shows who is in the conference ----------------------------------------------------------------------


async def test_request_of_an_awaited_party_reports_that_it_has_joined(client, webhook_store):
    webhook_store.facts = awaited()

    status, document = await post(client, waiting("music"), FORM)

    assert (status, played(document)) == (200, MUSIC)
    (joined,) = webhook_store.events
    assert (joined.name, joined.session_id, joined.call_sid) == ("participant_joined", CALLER, CALLER)
    assert (joined.conference_sid, joined.label, joined.sequence) == (CONFERENCE, "customer-1", None)
    assert not joined.start_on_enter
    await post(client, waiting("music"), FORM)
    assert webhook_store.events[1].token == joined.token
