"""A captured request whose first field became part of the URL, or the other way round: both have one signature."""

from urllib.parse import urlencode, urlsplit

from conferral.statemachine.states import WaitAudio
from conferral.telephony.callback_urls import (
    CONFERENCE_PATH,
    RECORDING_PATH,
    Announcement,
    CallbackUrls,
    CallCallback,
    DialAction,
    DialKind,
    Gate,
    UrlFields,
    Wait,
)
from conferral.webhooks.app import VOICE_URL_PATHS
from tests.support.each import each
from tests.webhooks.webhook_helpers import ACCOUNT, CALLER, DIAL, PUBLIC_URL, facts, fields, post, signed

_URLS = CallbackUrls(PUBLIC_URL)
VOICE_PATHS = ["/voice/inbound", "/voice/conference", "/voice/fallback", "/voice/handoff"]
#: Every kind of URL that Twilio gets, and a form that it sends there.
GIVEN = [
    (_URLS.of(DialAction(CALLER, "customer", DialKind.BRIDGE)), "dial_ends_busy"),
    (_URLS.of(CallCallback(CALLER, "agent")), "agent_rings"),
    (_URLS.of(Gate(CALLER, DIAL)), "agent_rings"),
    (_URLS.of(Wait(CALLER, "customer", WaitAudio.MUSIC)), "customer_waits"),
    (_URLS.of(Announcement(CALLER, "c1")), "agent_rings"),
    (_URLS.conference(CALLER), "agent_joins"),
    (_URLS.recording(CALLER), "agent_joins"),
    (_URLS.fallback(), "call_arrives"),
    *((_URLS.voice(path, 2), "call_arrives") for path in VOICE_PATHS),
    (_URLS.voice("/voice/client", 2), "browser_calls_somebody"),
]
#: How much of the form moves, characters: the first name, a part of its value, too, or all of it.
MOVED = [len("AccountSid"), len("AccountSidAC"), len("AccountSid" + ACCOUNT)]


def target_of(url: str) -> str:
    return url.partition("#")[0].removeprefix(PUBLIC_URL)


def test_every_kind_of_url_is_given() -> None:
    paths = {urlsplit(url).path for url, _ in GIVEN}
    named = VOICE_URL_PATHS
    assert {kind.path for kind in UrlFields.__subclasses__()} | named | {CONFERENCE_PATH, RECORDING_PATH} == paths


@each("url, moment, length", [(*given, length) for given in GIVEN for length in MOVED])
async def test_form_field_that_was_moved_into_the_url_is_refused(client, webhook_store, url, moment, length):
    target, form = target_of(url), fields(moment, AccountSid=ACCOUNT)
    assert min(form) == "AccountSid"
    captured = signed(target, form)
    text = "AccountSid" + form.pop("AccountSid")
    moved = target + text[:length]
    if length < len(text):
        form[text[length:]] = ""
    assert signed(moved, form) == captured, "the signature is valid"

    async with client.post(moved, data=urlencode(form), headers=captured) as answer:
        status = answer.status

    assert status in (200, 400, 404)  # a caller who waits for TwiML gets a document in any case
    assert webhook_store.events == []


@each("cut", [len("&v=1"), len("1&v=1"), 1])
async def test_end_of_the_url_that_was_moved_into_the_form_is_refused(client, webhook_store, cut):
    target, form = target_of(_URLS.of(CallCallback(CALLER, "agent"))), fields("agent_rings", AccountSid=ACCOUNT)
    captured = signed(target, form)
    form[f"{target[-cut:]}AccountSid"] = form.pop("AccountSid")
    assert signed(target[:-cut], form) == captured, "the signature is valid"

    async with client.post(target[:-cut], data=urlencode(form), headers=captured) as answer:
        assert answer.status == 400

    assert webhook_store.events == []


@each("url, moment", GIVEN[:2])
async def test_unchanged_request_is_served(client, webhook_store, url, moment):
    webhook_store.session = facts("bridged")
    webhook_store.events.clear()

    assert (await post(client, target_of(url), fields(moment)))[0] in (200, 204)

    assert len(webhook_store.events) == 1
