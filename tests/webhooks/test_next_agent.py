"""The agent of a bridge could not be had: the next one is rung, without waiting for anyone."""

import pytest

from conferral.statemachine.record import replace
from conferral.statemachine.states import Phase
from tests.support.people import NUMBER
from tests.webhooks.documents import action_of, conference_of, dial_of, next_url, rung, verbs
from tests.webhooks.webhook_helpers import AGENT, CALLER, CONFERENCE, DIAL_ACTION, facts, fields, post

AGENTS = ("client:alice", "client:bob", "+14155550124")
DIRECTORY = '[inbound."+14155550100"]\nagents = ["client:alice", "client:bob", "+14155550124"]\n'


def unanswered(status="no-answer", **changes):
    return fields("dial_ends_busy", **({"DialCallStatus": status, "To": "+14155550100"} | changes))


def target_of(number):
    return DIAL_ACTION.replace("&v=1", f"&agent={number}&v=1") if number else DIAL_ACTION


@pytest.mark.parametrize(
    ("known", "is_away", "party", "call_sid"),
    [
        # One that was rebuilt from callbacks ends here: a call that went on would be no one's.
        pytest.param(facts("bridged"), False, "customer", CALLER, id="session-knows-no-other"),
        pytest.param(facts("bridged", agents=AGENTS[:1]), False, "customer", CALLER, id="session-before-directory"),
        pytest.param(facts("bridged", direction="outbound", agents=AGENTS), False, "agent", AGENT, id="outbound"),
        pytest.param(None, False, "agent", CALLER, id="outbound-unknown"),
        pytest.param(None, True, "agent", CALLER, id="outbound-without-redis"),
    ],
)
async def test_no_one_else_rings(open_client, webhook_store, write_directory, known, is_away, party, call_sid):
    client = await open_client(**write_directory(DIRECTORY))
    webhook_store.facts, webhook_store.away = known, is_away
    target = f"/voice/dial-action?session={CALLER}&party={party}&dial=bridge&attempt=1&v=1"

    assert verbs((await post(client, target, unanswered(CallSid=call_sid)))[1]) == ["Say", "Hangup"]


@pytest.mark.parametrize("refused", ["+19005550123", "+442071234567", "nobody"])
async def test_disallowed_agent_is_skipped(client, webhook_store, lines, refused):
    webhook_store.facts = facts("bridged", agents=("client:alice", refused, "client:bob"))

    _, document = await post(client, target_of(0), unanswered())

    assert rung(document) == "bob"
    assert action_of(document).agent_number == 2
    (line,) = [line for line in lines if line["event"] == "destination_not_allowed"]
    assert refused not in str(line)


# ---- a phone whose network refuses the caller's number -----------------------------------------------------------

PHONE = "+14155550124"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("child", [AGENT, None], ids=["child", "no-child"])
async def test_a_phone_that_fails_at_once_is_rung_once_more_with_our_number(open_client, webhook_store, known, child):
    client = await open_client(CONFERRAL_AGENT=PHONE)
    webhook_store.facts = facts("bridged", phase="ringing", agents=(PHONE,)) if known else None

    _, document = await post(client, DIAL_ACTION, unanswered("failed", DialCallSid=child))

    assert (rung(document), dial_of(document).get("callerId")) == (PHONE, NUMBER)
    (event,) = webhook_store.events
    assert (event.failed_with_callers_number, event.agent_number) == (True, 0)
    again = next_url(document, "Dial", "action")
    if known:
        webhook_store.facts = facts("bridged", phase="ringing", agents=(PHONE, PHONE), agent_number=1)
    _, document = await post(client, again, unanswered("failed", DialCallSid=child))
    assert verbs(document) == (["Say", "Hangup"] if known else ["Pause", "Redirect"])
    assert (webhook_store.events[1].failed_with_callers_number, webhook_store.events[1].agent_number) == (False, 1)


@pytest.mark.parametrize(
    ("status", "changes", "agent"),
    [
        ("busy", {}, PHONE),
        ("no-answer", {}, PHONE),
        ("failed", {"From": "anonymous"}, PHONE),  # our number was shown
        ("failed", {}, "client:alice"),
        ("failed", {"CallStatus": "completed"}, PHONE),
    ],
)
async def test_no_other_agent_is_rung(open_client, webhook_store, status, changes, agent):
    client = await open_client(CONFERRAL_AGENT=agent)
    webhook_store.facts = facts("bridged", phase="ringing", agents=(agent,))

    _, document = await post(client, DIAL_ACTION, unanswered(status, **changes))

    assert "Dial" not in verbs(document)


# ---- where the session decides what follows ----------------------------------------------------------------------


async def test_a_caller_whose_session_is_not_open_yet_goes_to_its_fallback(client, webhook_store):
    form = unanswered("busy", To="+14155550101")
    _, document = await post(client, DIAL_ACTION, form)
    assert verbs(document) == ["Pause", "Redirect"]

    webhook_store.facts = facts("bridged", phase="ringing", agents=AGENTS[:1], fallback=("voicemail",))
    form = fields("call_arrives", CallStatus="in-progress", To="+14155550101")
    _, document = await post(client, next_url(document, "Redirect"), form)
    assert conference_of(document).text == CONFERENCE
    assert len({event.token for event in webhook_store.events}) == 1


@pytest.mark.parametrize("fallback", [(), ("voicemail",)])
@pytest.mark.parametrize("agents", [AGENTS[:1], AGENTS])
async def test_an_agent_who_hung_up_while_being_connected_has_not_taken_the_call(
    client, webhook_store, agents, fallback
):
    known = facts("bridged", phase="connected", agents=agents, fallback=fallback)
    keeps = bool(fallback) or agents == AGENTS
    for phase in (Phase.RINGING, Phase.CONNECTED):
        webhook_store.facts = replace(known, phase=phase)
        _, document = await post(client, DIAL_ACTION, unanswered("completed", DialBridged="false"))
        assert verbs(document) == (["Dial"] if keeps else ["Say", "Hangup"])
