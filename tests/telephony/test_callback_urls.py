from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.states import WaitAudio
from conferral.telephony.callback_urls import (
    Announcement,
    CallbackUrlError,
    CallbackUrls,
    CallCallback,
    DialAction,
    DialKind,
    Gate,
    Wait,
    parse_request_number,
    parse_session_id,
)
from tests.support.each import each

URLS = CallbackUrls("https://example.com/conferral")
IDS = st.from_regex(ID_PATTERN, fullmatch=True)
WORDS = st.sampled_from(["", "completed", "answered", "busy", "no-answer", "failed", "canceled"])


@st.composite
def actions(draw):
    asked = draw(st.integers(1, 9))
    return DialAction(
        session_id=draw(IDS),
        party=draw(IDS),
        dial=draw(st.sampled_from(DialKind)),
        attempt=draw(st.integers(1, 9)),
        request_number=asked,
        dial_call_status=draw(WORDS) if asked > 1 else "",
        agent_number=draw(st.integers(0, 99)),
        child_call_sid=draw(st.sampled_from(["", "CA" + "2" * 32])),
        without_redis=draw(st.booleans()),
        conference_name=draw(st.from_regex(r"([A-Za-z0-9_-]{65,128})?", fullmatch=True)),
    )


@st.composite
def gates(draw):
    waited = draw(st.integers(1, 9))
    key = draw(st.sampled_from(["", "0", "1", "9", "other"])) if waited > 1 else ""
    asked, briefed = draw(st.integers(1, 4)), draw(st.booleans())
    confirm, by_machine = draw(st.sampled_from([0, 9, 60])), draw(st.booleans())
    return Gate(draw(IDS), draw(IDS), asked, waited, key, briefed, confirm, by_machine)


#: What is written into our URLs, with how each is read back.
WRITTEN = {
    DialAction.parse: actions(),
    CallCallback.parse: st.builds(CallCallback, IDS, IDS, st.just("") | IDS, st.integers(0, 99), st.booleans()),
    Gate.parse: gates(),
    Wait.parse: st.builds(Wait, IDS, IDS, st.sampled_from([WaitAudio.RINGBACK, WaitAudio.MUSIC]), st.booleans()),
    Announcement.parse: st.builds(Announcement, IDS, IDS),
}


@pytest.mark.parametrize("parse", WRITTEN)
@given(st.data())
def test_a_callback_is_read_back_as_it_was_built(parse, data):
    callback = data.draw(WRITTEN[parse])
    url = URLS.of(callback)

    assert parse(urlsplit(url).query) == callback
    if isinstance(callback, DialAction | Gate):
        assert URLS.parse(url, type(callback)) == callback


@pytest.mark.parametrize("parse", WRITTEN)
@given(st.data())
def test_query_is_sorted_by_name_and_ends_with_a_fixed_value(parse, data):
    query = urlsplit(URLS.of(data.draw(WRITTEN[parse]))).query

    names = [pair.partition("=")[0] for pair in query.split("&")]
    assert names == sorted(names)
    assert query.endswith("&v=1")


@each(
    "url, query",
    [
        (URLS.conference("CA1"), "session=CA1&v=1"),
        (URLS.recording("CA1"), "session=CA1&v=1"),
        (URLS.voice("/voice/inbound", 2), "request=2&v=1"),
        (URLS.fallback(), ""),
    ],
)
def test_other_urls_have_such_a_query_too_or_none(url, query):
    assert urlsplit(url).query == query


#: What Twilio signs behind a URL: names and values, of which callers and browsers choose some.
SIGNED_AFTER = st.text(min_size=1) | st.text(alphabet="&=?#v1", min_size=1) | st.just("AccountSidAC1")


@pytest.mark.parametrize("parse", [*WRITTEN, parse_session_id, parse_request_number])
@given(st.data())
def test_query_that_takes_in_what_follows_is_not_ours(parse, data):
    urls = {parse_session_id: URLS.conference("CA1"), parse_request_number: URLS.voice("/voice/inbound", 2)}
    url = urls[parse] if parse in urls else URLS.of(data.draw(WRITTEN[parse]))
    query = urlsplit(url).query
    parse(query)

    with pytest.raises(CallbackUrlError):
        parse(query + data.draw(SIGNED_AFTER))


@each("key, kept", [("", ""), ("1", "1"), ("other", "other"), ("*", "other"), ("12", "other")])
def test_gate_is_asked_again_with_the_key_in_a_form_that_its_url_holds(key, kept):
    assert Gate("s", "d", 2, 3).next_request(key) == Gate("s", "d", 2, 4, kept)


@each("query", ["", "request=x", "request=0&v=1", "request=12&v=1", "request=2", "a=b"])
def test_numbers_own_query_counts_as_the_first_request(query):
    assert parse_request_number(query) == 1


@given(st.text() | st.text(alphabet="&=%+session party dial attempt request 123 bridge question key music command"))
@pytest.mark.parametrize("parse", [*WRITTEN, parse_session_id])
def test_no_query_raises_anything_but_our_error(parse, query):
    with suppress(CallbackUrlError):
        parse(query)


@each(
    "parse, query, field",
    [
        (DialAction.parse, "dial=bridge&party=customer&session=a", "v"),
        (DialAction.parse, "session=a{b}&party=customer&dial=bridge&v=1", "session"),
        (DialAction.parse, "session=a%0Ab&party=customer&dial=bridge&v=1", "session"),
        (DialAction.parse, "session=" + "a" * 65 + "&party=customer&dial=bridge&v=1", "session"),
        (DialAction.parse, "session=a&dial=bridge&v=1", "party"),
        (DialAction.parse, "session=a&party=customer&dial=other&v=1", "dial"),
        (DialAction.parse, "session=a&party=customer&dial=bridge&attempt=10&v=1", "attempt"),
        (DialAction.parse, "session=a&party=customer&dial=bridge&status=<b>&v=1", "status"),
        (DialAction.parse, "session=a&party=customer&dial=bridge&agent=100&v=1", "agent"),
        (DialAction.parse, "session=a&session=b&party=customer&dial=bridge&v=1", "query"),
        (CallCallback.parse, "session=a&party=agent&dial={d}&v=1", "dial"),
        (Gate.parse, "session=a&dial=d&question=5&v=1", "question"),
        (Gate.parse, "session=a&dial=d&request=0&v=1", "request"),
        (Gate.parse, "session=a&dial=d&key=12&v=1", "key"),
        (Gate.parse, "session=a&dial=d&briefed=0&v=1", "briefed"),
        (Wait.parse, "session=a&party=customer&audio=jazz&v=1", "audio"),
        (Announcement.parse, "session=a&command=hello%20all&v=1", "command"),
        (parse_session_id, "session={a}&v=1", "session"),
    ],
)
def test_a_query_that_was_not_built_here_names_its_field(parse, query, field):
    with pytest.raises(CallbackUrlError) as caught:
        parse(query)

    assert caught.value.field == field


@each(
    "kind, url",
    [
        (Gate, ""),
        (Gate, URLS.of(DialAction("CA1", "customer", DialKind.BRIDGE))),
        (Gate, "https://evil.example/conferral/voice/gate?session=a&dial=d&v=1"),
        (Gate, "https://example.com/conferral/voice/gate?session=a&v=1"),
        (DialAction, "https://example.com/voice/dial-action?session=a&party=customer&dial=bridge&v=1"),
        (DialAction, "https://evil.example/conferral/voice/dial-action?session=a&party=customer&dial=bridge&v=1"),
        (DialAction, "https://example.com/conferral/voice/dial-action?session=a&v=1"),
    ],
)
def test_other_urls_are_no_gate_and_no_dial_action_of_ours(kind, url):
    assert URLS.parse(url, kind) is None


def overrides(url):
    return dict(pair.split("=") for pair in urlsplit(url).fragment.split("&"))


@each(
    "url",
    [
        URLS.of(DialAction("s", "customer", DialKind.BRIDGE)),
        URLS.of(CallCallback("s", "agent")),
        URLS.conference("s"),
        URLS.of(Gate("s", "d")),
        URLS.of(Wait("s", "customer", WaitAudio.MUSIC)),
        URLS.of(Wait("s", "customer", WaitAudio.MUSIC, with_greeting=True)),
        URLS.of(Announcement("s", "c")),
        URLS.recording("s"),
        URLS.fallback(),
    ],
)
def test_every_url_asks_for_retries_that_fit_into_15_seconds(url):
    asked = overrides(url)

    assert asked["rp"] == "5xx,ct,rt"
    assert int(asked["rc"]) >= 2
    assert (1 + int(asked["rc"])) * (int(asked["ct"]) + int(asked["rt"])) <= 15_000
