"""A browser or app user calls someone; whatever the browser sends may be made up."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.events import ClientCallReceived
from conferral.telephony.callback_urls import Wait
from tests.support.each import each
from tests.support.people import TARGET
from tests.webhooks.documents import action_of, conference_of, verbs
from tests.webhooks.webhook_helpers import AGENT, CALLER, PUBLIC_URL, Repeated, a_party, facts, fields, post

NAMED = "order-17"


def calls(**changes):
    """A browser's call."""
    return fields("browser_calls_somebody", **({"To": TARGET, "SessionID": None} | changes))


def refusals(lines):
    return [line["reason"] for line in lines if line["event"] == "client_call_refused"]


async def test_the_caller_waits_for_the_callee_and_hears_ringing(client, webhook_store):
    status, document = await post(client, "/voice/client", calls())

    conference = conference_of(document)
    assert (status, conference.text) == (200, CALLER)
    assert (conference.get("participantLabel"), conference.get("startConferenceOnEnter")) == ("agent-1", "true")
    assert conference.get("endConferenceOnExit") == "false"
    wait = Wait.parse(urlsplit(conference.get("waitUrl")).query)
    assert (wait.party, wait.wait_audio.value, wait.with_greeting) == ("agent", "ringback", False)
    action = action_of(document)
    assert (action.session_id, action.party, action.dial.value) == (CALLER, "agent", "conference")
    assert webhook_store.events == [
        ClientCallReceived(
            session_id=CALLER, token=f"client_call_received:{CALLER}", call_sid=CALLER, agent_address="client:alice",
            customer_address=TARGET,
        )
    ]  # fmt: skip
    assert webhook_store.indexed == [(CALLER, CALLER)]


# ---- who and whom ------------------------------------------------------------------------------------------------


async def test_bare_name_is_a_browsers(client, webhook_store):
    await post(client, "/voice/client", calls(To="bob"))
    assert webhook_store.events[-1].customer_address == "client:bob"


@each(
    "changes, words",
    [
        ({"To": "+19005550123"}, "premium-rate"),
        ({"To": "911"}, "short and emergency"),
        ({"To": "sip:bob@example.com"}, "does not name this SIP domain"),
        ({"To": f"sip:{TARGET}@acme.sip.twilio.com"}, "does not name this SIP domain"),    # a browser has no host
        ({"To": "4155550123"}, "must be a number with +"),
        ({"To": None}, "must be a number with +"),
        ({"To": "client:bob?SessionID=x"}, "this one has '?'"),
        ({"From": "+14155550199"}, "no browser"),
        ({"From": "sip:desk@acme.sip.twilio.com", "To": "sip:911@acme.sip.twilio.com"}, "short and emergency"),
        ({"From": None}, "no browser"),
        ({"Direction": "outbound-api"}, "did not come in"),
        ({"SessionID": "a b"}, "SessionID is no id"),
        ({"SessionID": "a" * 65}, "SessionID is no id"),
        ({"SessionID": "CF" + "3" * 32}, "SessionID is no id"),
        ({"SessionID": AGENT}, "SessionID is no id"),
        ({"SessionID": "ZZ" + "0" * 32}, "SessionID is no id"),
        ({"SessionID": f"{AGENT}-2"}, "SessionID is no id"),
    ],
)  # fmt: skip
async def test_forbidden_caller_or_callee_hears_a_sentence_and_nothing_is_published(
    client, webhook_store, lines, changes, words
):
    lines.clear()
    status, document = await post(client, "/voice/client", calls(**changes))

    assert (status, verbs(document)) == (200, ["Say", "Hangup"])
    assert (webhook_store.events, webhook_store.indexed, webhook_store.gates) == ([], [], {})
    (reason,) = refusals(lines)
    assert words in reason
    assert "4155550" not in str(lines)


@each("is_first", [False, True])
@each(
    "own, changes",
    [
        ([("From", "Alice in Sales")], {}),
        ([("From", "client:bob")], {}),
        ([("From", "")], {}),
        ([("From", "Alice"), ("From", "")], {}),
        ([("To", "+14155550166")], {"Called": "+14155550177"}),
        ([("To", "")], {}),
        ([("CallSid", "order 7")], {}),
        ([("Direction", "outbound-api")], {}),
        ([("AccountSid", "AC" + "9" * 32)], {}),
        ([("Caller", "Alice")], {}),
        ([("Called", "someone")], {}),
        ([("CallStatus", "ringing")], {}),
    ],
)
async def test_parameter_of_a_browser_under_twilios_name_changes_nothing(
    client, webhook_store, lines, is_first, own, changes
):
    lines.clear()
    webhook_store.events = []
    form = calls(SessionID=NAMED, **changes)
    usual = await post(client, "/voice/client", form)
    expected, webhook_store.events = list(webhook_store.events), []

    sent = Repeated([*own, *form.items()] if is_first else [*form.items(), *own])
    answered = await post(client, "/voice/client", sent)

    assert verbs(usual[1]) == ["Dial"]
    assert (answered, webhook_store.events) == (usual, expected)
    assert lines == []


@each("name, other", [("From", "client:bob"), ("To", "+14155550166"), ("SessionID", "order-18")])
async def test_first_value_counts_where_twilio_sends_no_second_name(client, webhook_store, name, other):
    webhook_store.events = []
    form = calls(SessionID=NAMED, Caller=None)
    usual = await post(client, "/voice/client", form)
    expected, webhook_store.events = list(webhook_store.events), []

    assert await post(client, "/voice/client", Repeated([*form.items(), (name, other)])) == usual
    assert webhook_store.events == expected


@each("own", [[("From", "client:bob"), ("Caller", "client:bob")], [("CallSid", "CA" + "9" * 32)]])
@each("is_first", [False, True])
async def test_browser_that_pretends_to_be_another_or_another_call_hears_a_sentence(
    client, webhook_store, lines, own, is_first
):
    lines.clear()
    webhook_store.events = []
    form = calls(SessionID=NAMED)

    sent = Repeated([*own, *form.items()] if is_first else [*form.items(), *own])
    status, document = await post(client, "/voice/client", sent)

    assert (status, verbs(document), webhook_store.events) == (200, ["Say", "Hangup"], [])
    assert [line["reason"] for line in lines if line["event"] == "webhook_rejected"] == ["repeated-field"]


# ---- the cap of calls --------------------------------------------------------------------------------------------


async def test_identity_that_calls_too_often_hears_a_sentence(open_client, webhook_store, lines):
    client = await open_client(CONFERRAL_DIALS_PER_IDENTITY="2")
    sids = [f"CA{number:032x}" for number in range(3)]
    answers = [await post(client, "/voice/client", calls(CallSid=sid)) for sid in [*sids, sids[0]]]

    assert [verbs(document) for _, document in answers] == [["Dial"], ["Dial"], ["Say", "Hangup"], ["Dial"]]
    assert "too many calls" in answers[2][1]
    assert [event.call_sid for event in webhook_store.events] == [sids[0], sids[1], sids[0]]
    assert refusals(lines) == ["the identity has placed too many calls"]
    _, document = await post(client, "/voice/client", calls(CallSid=sids[2], From="client:bob"))
    assert verbs(document) == ["Dial"]


async def test_sip_phone_is_counted_by_user_and_domain_whatever_else_its_address_says(open_client, webhook_store):
    client = await open_client(CONFERRAL_DIALS_PER_IDENTITY="2")
    forms: list[str] = []

    @given(
        st.sampled_from(["sip:desk", "sips:desk", "SIP:Desk", "sip:%64esk"]),
        st.sampled_from(
            ["acme.sip.twilio.com", "acme.sip.us1.twilio.com", "ACME.sip.twilio.com", "192.0.2.7", "x.example"]
        ),
        st.sampled_from(["", ":5060", ":5080"]),
        st.lists(st.sampled_from([";transport=tcp", ";user=phone", ";x=1", ";x=2", "?a=b"]), max_size=3),
    )
    def collect(user, host, port, parameters):
        forms.append(f"{user}@{host}{port}{''.join(parameters)}")

    collect()
    answers = []
    for number, from_ in enumerate(sorted(set(forms))):
        form = calls(CallSid=f"CA{number:032x}", From=from_, SipDomain="acme.sip.twilio.com")
        answers.append(verbs((await post(client, "/voice/client", form))[1]))

    assert len(answers) > 10
    assert answers.count(["Dial"]) == 2
    other = calls(CallSid="CA" + "e" * 32, From="sip:lobby@acme.sip.twilio.com", SipDomain="acme.sip.twilio.com")
    assert verbs((await post(client, "/voice/client", other))[1]) == ["Dial"]


# ---- SessionID ---------------------------------------------------------------------------------------------------


async def test_the_call_that_has_opened_the_session_gets_the_same_answer_again(client, webhook_store):
    first = await post(client, "/voice/client", calls(SessionID=NAMED))
    webhook_store.facts = facts("conferenced", agent=a_party(call_sid=CALLER), customer=a_party(), opening="arriving")
    webhook_store.sessions[CALLER] = NAMED

    assert await post(client, "/voice/client", calls(SessionID=NAMED)) == first
    assert len(set(webhook_store.events)) == 1


# ---- without Redis -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [True, False])
async def test_the_fallback_answers_in_place_of_the_route(client, webhook_store, away):
    webhook_store.away = away
    expected = await post(client, "/voice/client", calls())
    form = calls(ErrorUrl=f"{PUBLIC_URL}/voice/client#rc=2", ErrorCode="11200")

    assert await post(client, "/voice/fallback", form) == expected
