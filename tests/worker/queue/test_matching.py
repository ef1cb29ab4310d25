"""Who is offered to whom: who has waited longest first, and what becomes of offers."""

import pytest

from conferral.statemachine.parts import Attempt
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import PartyStatus, Phase, State
from conferral.storage.offers import DEADLINE_MS, Claim, Desk
from conferral.worker.queue.matching import (
    LOST_MS,
    PAUSE_MS,
    REJECTED_MS,
    REPEAT_MS,
    Verdict,
    judge,
    next_offers,
)
from tests.support.people import ALICE, BOB, CAROL

NOW_MS = 1_000_000


def waiting(name: str, since_ms: int, agents: tuple[str, ...] = (ALICE, BOB), *tried: Attempt, **given) -> Session:
    parties = {
        CUSTOMER: Party(CUSTOMER, "customer-1", status=PartyStatus.CONNECTED, in_conference=True),
        AGENT: Party(AGENT, "agent-1", status=PartyStatus.LEFT),
    }
    values = {"state": State.CONFERENCED, "phase": Phase.QUEUED, "version": 1, "parked_until_ms": NOW_MS + 1}
    values |= {"queued_since_ms": since_ms, "agents": agents, "parties": parties, "attempts": tried}
    return Session(name, **values | given)


def free(*addresses: str, since_ms: int = 1) -> dict[str, Desk]:
    return {one: Desk(one, True, free_since_ms=at) for at, one in enumerate(addresses, start=since_ms)}


def attempt(to: str, result: str, ended_ms: int = NOW_MS) -> Attempt:
    return Attempt(AGENT, to, f"{to} {ended_ms}", ended_ms - 1, ended_at_ms=ended_ms if result else 0, result=result)


def offered(sessions: list[Session], desks: dict[str, Desk], now_ms: int = NOW_MS) -> list[tuple[str, str, int]]:
    return [(session.id, address, number) for session, address, number in next_offers(sessions, desks, now_ms)]


def test_who_has_waited_longest_gets_the_desk_that_has_been_free_longest():
    callers = [waiting("second", 20), waiting("first", 10), waiting("third", 30)]
    assert offered(callers, free(BOB, ALICE)) == [("first", BOB, 1), ("second", ALICE, 1)]


def test_callers_of_two_numbers_with_the_same_agents_are_in_one_order():
    callers = [waiting("sales", 20, (ALICE,)), waiting("help", 10, (BOB, ALICE))]
    assert offered(callers, free(ALICE)) == [("help", ALICE, 1)]
    assert offered(callers, free(ALICE, BOB)) == [("help", ALICE, 1)], "who waits longest chooses first"
    assert offered(callers, free(BOB, ALICE)) == [("help", BOB, 1), ("sales", ALICE, 1)]


@pytest.mark.parametrize("given", [
    {"phase": Phase.RETRIEVE, "state": State.TRANSFERRING}, {"state": State.ENDED, "phase": Phase.NONE},
    {"parked_until_ms": NOW_MS},
    {"parties": {CUSTOMER: Party(CUSTOMER, "c-1", in_conference=True), AGENT: Party(AGENT, "a-1")}},
    {"parties": {CUSTOMER: Party(CUSTOMER, "c-1"), AGENT: Party(AGENT, "a-1", status=PartyStatus.LEFT)}},
])  # fmt: skip
def test_who_does_not_wait_now_is_not_offered(given):
    assert offered([waiting("first", 10, **given), waiting("second", 20)], free(ALICE)) == [("second", ALICE, 1)]


def test_who_rejected_a_caller_gets_the_next_one_meanwhile():
    callers = [waiting("first", 10, (ALICE, BOB), attempt(ALICE, "rejected")), waiting("second", 20)]
    assert offered(callers, free(ALICE)) == [("second", ALICE, 1)]
    assert offered(callers[:1], free(ALICE), NOW_MS + REJECTED_MS - 1 - PAUSE_MS) == []
    later = [waiting("first", 10, (ALICE, BOB), attempt(ALICE, "rejected"), parked_until_ms=10 * NOW_MS)]
    assert offered(later, free(ALICE), NOW_MS + REJECTED_MS) == [("first", ALICE, 2)]


def test_a_desk_that_was_busy_is_kept_for_the_same_caller():
    first = waiting("first", 10, (ALICE, BOB), attempt(ALICE, "busy"), parked_until_ms=10 * NOW_MS)
    callers = [first, waiting("second", 20)]
    assert offered(callers, free(ALICE)) == []
    assert offered(callers, free(ALICE, BOB)) == [("first", BOB, 1), ("second", ALICE, 1)]
    assert offered(callers, free(ALICE), NOW_MS + PAUSE_MS) == [("first", ALICE, 2)]


@pytest.mark.parametrize("result", ["busy", "rejected", "no-answer"])
def test_rings_from_before_the_caller_waited_keep_no_desk_from_them(result):
    """A busy desk rejects such a ring, and is free at any moment."""
    callers = [waiting("first", NOW_MS, (ALICE,), attempt(ALICE, result)), waiting("second", NOW_MS + 1)]
    assert offered(callers, free(ALICE), NOW_MS) == [("first", ALICE, 2)]


def test_phones_and_strangers_are_not_offered_anyone():
    assert offered([waiting("first", 10, (BOB, "+14155550188"))], free(ALICE, CAROL)) == []


def test_a_caller_whose_offer_is_open_is_offered_to_no_other_desk():
    desks = {ALICE: Desk(ALICE, True, claim=Claim("first", 1, NOW_MS)), **free(BOB)}
    assert offered([waiting("first", 10), waiting("second", 20)], desks) == [("second", BOB, 1)]


@pytest.mark.parametrize("tried, age_ms, verdict", [
    ((), 0, Verdict.WAIT), ((), REPEAT_MS, Verdict.REPEAT), ((), LOST_MS, Verdict.END),
    ((), DEADLINE_MS, Verdict.REPEAT), ((), LOST_MS - 1, Verdict.REPEAT),
    ((attempt(ALICE, ""),), 0, Verdict.KEEP),
    ((attempt(ALICE, "answered"),), 0, Verdict.END), ((attempt(ALICE, "busy"),), 0, Verdict.END),
    ((attempt(ALICE, "rejected"),), 0, Verdict.END), ((attempt(ALICE, "cancelled"),), 0, Verdict.END),
    ((attempt(ALICE, "unknown"),), 0, Verdict.END), ((attempt(ALICE, "dial-limit"),), 0, Verdict.END),
    ((attempt(ALICE, "no-answer"),), 0, Verdict.END_AND_AWAY),
    ((attempt(BOB, "no-answer"),), 0, Verdict.WAIT),
])  # fmt: skip
def test_what_becomes_of_an_offer(tried, age_ms, verdict):
    session, claim = waiting("first", 10, (ALICE, BOB), *tried), Claim("first", 1, NOW_MS + DEADLINE_MS)
    assert judge(session, ALICE, claim, NOW_MS + age_ms) is verdict


@pytest.mark.parametrize("call_sid, verdict", [("CA1", Verdict.END_AND_AWAY), ("", Verdict.END)])
def test_only_a_call_that_fails_shows_that_no_phone_is_registered(call_sid, verdict):
    """Twilio may also refuse the request: too many, a wrong parameter, an outage."""
    tried = attempt(ALICE, "failed")
    agent = Party(AGENT, "agent-1", address=ALICE, call_sid=call_sid, dial_id=tried.dial_id, status=PartyStatus.LEFT)
    session = waiting("first", 10, (ALICE, BOB), tried, parties={AGENT: agent})
    assert judge(session, ALICE, Claim("first", 1, NOW_MS), NOW_MS) is verdict


@pytest.mark.parametrize("result", ["no-answer", "failed"])
def test_an_agent_whose_page_may_be_loading_is_not_away_and_is_tried_again(result):
    tried = attempt(ALICE, result)
    agent = Party(AGENT, "agent-1", address=ALICE, call_sid="CA1", dial_id=tried.dial_id, status=PartyStatus.LEFT)
    customer = Party(CUSTOMER, "customer-1", status=PartyStatus.CONNECTED, in_conference=True)
    given = {"parties": {CUSTOMER: customer, AGENT: agent}, "parked_until_ms": 10 * NOW_MS}
    session = waiting("first", 10, (ALICE, BOB), tried, **given)
    assert judge(session, ALICE, Claim("first", 1, NOW_MS), NOW_MS, may_be_loading=True) is Verdict.END
    assert judge(session, ALICE, Claim("first", 1, NOW_MS), NOW_MS) is Verdict.END_AND_AWAY
    assert offered([session], free(ALICE), NOW_MS + PAUSE_MS - 1) == []
    assert offered([session], free(ALICE), NOW_MS + PAUSE_MS) == [("first", ALICE, 2)]


def test_an_offer_of_a_session_that_is_over_or_gone_ends():
    over = waiting("first", 10, (ALICE,), attempt(ALICE, ""), state=State.ENDED)
    claim = Claim("first", 1, NOW_MS + DEADLINE_MS)
    assert judge(over, ALICE, claim, NOW_MS) is judge(None, ALICE, claim, NOW_MS) is Verdict.END
    missed = waiting("first", 10, (ALICE,), attempt(ALICE, "no-answer"), state=State.ENDED)
    assert judge(missed, ALICE, claim, NOW_MS) is Verdict.END_AND_AWAY


def test_only_the_offer_itself_has_its_id():
    claims = [(Claim("s1", 1, 8), ALICE), (Claim("s2", 1, 8), ALICE), (Claim("s1", 1, 8), BOB)]
    claims += [(Claim("s1", 2, 8), ALICE), (Claim("s1", 1, 9), ALICE)]
    ids = {claim.offer_id(address) for claim, address in claims}
    assert len(ids) == 5
    assert ALICE not in "".join(ids)
