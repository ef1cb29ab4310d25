"""Every event in every situation: never an exception, and what must always hold, holds."""

import dataclasses
from collections import Counter

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.commands.parser import parse
from conferral.statemachine.events import (
    COMMANDS,
    TIMERS,
    AccountSwept,
    ClientCallReceived,
    Convert,
    GateDecision,
    Park,
    Retrieve,
)
from conferral.statemachine.guards.waiting_party import present_parties, someone_is_being_dialed
from conferral.statemachine.machine import DEFAULT_POLICY, step
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.states import TRANSFER_MODES, CallStatus, Opening, Phase, State, TransferStage
from conferral.statemachine.step import DecisionKind
from tests.statemachine import conference_scenarios
from tests.statemachine.scenario import AGENT_CALL, BOB, CAROL, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, outbound, ringing, talking
from tests.support.command_examples import FIRST
from tests.support.each import each

STATUSES = st.sampled_from([status.value for status in CallStatus])
DURATIONS_S = st.sampled_from([0, 60, 14_400])
CONFERENCES = st.sampled_from([CONFERENCE, CONFERENCE, CONFERENCE, OTHER_CONFERENCE])
REASONS = st.sampled_from(
    ["participant_hung_up", "participant_updated_via_api", "participant_add_failed", "conference_ended"]
)
KINDS = st.sampled_from(
    ["redirect_call", "hang_up_call", "end_conference", "update_participant", "read_calls", "find_call"]
)
#: Where histories begin, so that they do not all die before they come to anything.
BEGINNINGS = {
    "nothing": Scenario,
    "bridged": lambda: Scenario().answered(),
    "conferenced": conferenced,
    "outbound": outbound,
    "ringing": lambda: ringing("warm"),
    "consult": lambda: talking("consult"),
    "blind": blind_from_bridge,
    "recall": lambda: blind_from_bridge().placed("target").call("target", "busy"),
    "fallback": lambda: dialing("blind", policy=Policy(fallback=(CAROL,))),
    "several": lambda: dialing("warm", BOB, CAROL, policy=Policy(fallback=("end",))),
    "called": lambda: conference_scenarios.called(other_agents=(BOB,)),
    "waiting": lambda: conference_scenarios.waiting(other_agents=(BOB,)),
    "waiting at the gate": lambda: conference_scenarios.waiting_at_gate(),
    "survey": lambda: conference_scenarios.received_with_survey(),
    "browser": lambda: conference_scenarios.browser(),
    "browser talks": lambda: conference_scenarios.browser_talks(),
    "calling": lambda: conference_scenarios.calling(),
    "called in": lambda: conference_scenarios.called_in(),
    "next agent": lambda: Scenario().comes_in(other_agents=(BOB, CAROL)).call("agent", "ringing"),
    "parking": lambda: conference_scenarios.as_conference(Scenario().answered()).park(),
    "parked": lambda: conference_scenarios.parked(),
    "parked from bridge": lambda: conference_scenarios.parked_from_bridge(),
    "parked, to be ended": lambda: conference_scenarios.parked(Policy(fallback=("end",))),
    "retrieving": lambda: conference_scenarios.retrieving(),
    "retrieving from bridge": lambda: conference_scenarios.retrieving(conference_scenarios.parked_from_bridge),
}


class History:
    """Any event, whether it makes sense or not; names of legs are those that the story knows by then."""

    def __init__(self, story: Scenario, data: st.DataObject) -> None:
        self.story = story
        self.draw = data.draw
        self.commands = 0

    def leg(self) -> str:
        return self.draw(st.sampled_from(list(self.story.legs)))

    def dialed(self) -> str | None:
        legs = [name for name, leg in self.story.legs.items() if leg.dial]
        return self.draw(st.sampled_from(legs)) if legs else None

    def id(self) -> str:
        self.commands += 1
        return f"command-{self.commands}"

    def comes_in(self) -> None:
        self.story.comes_in()

    def call(self) -> None:
        number = self.draw(st.sampled_from([0, 0, 0, 1]))
        sip = self.draw(st.sampled_from([0, 486, 603]))
        self.story.call(
            self.leg(), self.draw(STATUSES), sip=sip, agent_number=number, duration_s=self.draw(DURATIONS_S)
        )

    def dial_ends(self) -> None:
        self.story.dial_ends(
            self.draw(STATUSES), call_status=self.draw(STATUSES), party=self.leg(),
            dial=self.draw(st.sampled_from(["bridge", "conference"])),
            agent_number=self.draw(st.integers(min_value=0, max_value=2)), duration_s=self.draw(DURATIONS_S),
        )  # fmt: skip

    def joins(self) -> None:
        self.story.joins(self.leg(), conference=self.draw(CONFERENCES), starts=self.draw(st.booleans()))

    def leaves(self) -> None:
        self.story.leaves(
            self.leg(), status=self.draw(STATUSES), reason=self.draw(REASONS), conference=self.draw(CONFERENCES)
        )

    def changes(self) -> None:
        name = self.leg()
        leg = self.story.legs[name]
        leg.held, leg.end_on_exit = self.draw(st.booleans()), self.draw(st.booleans())
        self.story.changes(name, conference=self.draw(CONFERENCES))

    def confirms(self) -> None:
        if self.story.unconfirmed:
            call_sid = self.draw(st.sampled_from(self.story.unconfirmed)).call_sid
            self.story.confirms(next(name for name, leg in self.story.legs.items() if leg.call_sid == call_sid))

    def conference(self) -> None:
        if self.draw(st.booleans()):
            self.story.conference_starts()
        else:
            self.story.conference_ends(
                conference=self.draw(CONFERENCES), by=self.draw(st.sampled_from(["", self.leg()]))
            )

    def dials(self) -> None:
        name = self.dialed()
        if name is None:
            return
        match self.draw(
            st.sampled_from(["placed", "refused", "unknown_outcome", "found", "not_found", "takes_part", "gate"])
        ):
            case "gate":
                self.story.gate(name, self.draw(st.sampled_from(["", *GateDecision])))
            case "not_found":
                self.story.found(name, call_sid="")
            case how:
                getattr(self.story, how)(name)

    def reads(self) -> None:
        names = self.draw(st.lists(st.sampled_from(list(self.story.legs)), unique=True))
        inside = tuple(self.draw(st.lists(st.sampled_from(list(self.story.legs)), unique=True)))
        older = self.draw(st.integers(min_value=0, max_value=3))
        statuses = {name: self.draw(STATUSES) for name in names}
        self.story.reads(
            conference=self.draw(CONFERENCES) if inside else "", inside=inside,
            version=self.story.session.version - older,
            **statuses,
        )  # fmt: skip

    def outcome(self) -> None:
        ids = [effect.effect_id for effect in self.story.effects] or ["effect"]
        kind, effect_id = self.draw(KINDS), self.draw(st.sampled_from(ids))
        match self.draw(st.sampled_from(["succeeds", "fails", "is_unknown"])):
            case "fails":
                status = self.draw(st.sampled_from([400, 404, 500]))
                self.story.fails(kind, "customer", gone=self.draw(st.booleans()), status=status, effect_id=effect_id)
            case how:
                getattr(self.story, how)(kind, "customer", effect_id)

    def step(self) -> None:
        command = self.draw(st.sampled_from(["convert", "complete", "cancel", "swap", "merge", "complete", "cancel"]))
        getattr(self.story, command)(self.id())

    def transfer(self) -> None:
        to = self.draw(st.sampled_from([(BOB,), (BOB, CAROL)]))
        mode = self.draw(st.sampled_from(list(TRANSFER_MODES)))
        self.story.transfer(mode.value, *to, command_id=self.id(), confirm=self.draw(st.booleans()))

    def parks(self) -> None:
        self.story.command(self.draw(st.sampled_from([Park, Park, Convert])), self.id())

    def retrieves(self) -> None:
        self.story.command(Retrieve, self.id(), to=BOB, confirm=self.draw(st.booleans()))

    def calls_from_browser(self) -> None:
        leg = self.story.legs[self.leg()]
        event = ClientCallReceived(
            **self.story.common(), call_sid=leg.call_sid, agent_address=BOB, customer_address=CAROL
        )
        self.story.take(event)

    def sweep(self) -> None:
        leg = self.story.legs[self.leg()]
        finding = self.draw(st.sampled_from(["call-missing", "conference-missing", "call-live", "conference-live"]))
        by_call = finding.startswith("call")
        event = AccountSwept(
            **self.story.common(), finding=finding, call_sid=leg.call_sid if by_call else "",
            conference_sid="" if by_call else self.draw(CONFERENCES),
        )  # fmt: skip
        self.story.take(event)

    def time_passes(self) -> None:
        self.story.later(self.draw(st.sampled_from([300, 3_000, 12_000])))

    def end(self) -> None:
        if self.draw(st.integers(min_value=0, max_value=9)) == 0:
            self.story.end(self.id())

    def timer(self) -> None:
        due = [timer for timer in TIMERS if timer.timer in self.story.session.timers and timer.timer != "age"]
        if due:
            self.story.fires(self.draw(st.sampled_from(due)))


MOVES = [name for name, member in vars(History).items() if name not in ("leg", "dialed", "id") and name[0] != "_"]


class Watched(Scenario):
    """A story of which every step is checked."""

    def take(self, event):
        before = self.session
        super().take(event)
        check(before, self)
        return self


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(st.data())
@settings(max_examples=20, deadline=None, derandomize=True, phases=set(hypothesis.Phase) - {hypothesis.Phase.explain})
def test_any_history_keeps_the_invariants(beginning, data):
    story = BEGINNINGS[beginning]()
    story.__class__ = Watched
    history = History(story, data)
    for name in data.draw(st.lists(st.sampled_from(MOVES), max_size=20)):
        getattr(history, name)()


def check(before: Session, story: Scenario) -> None:
    after, last = story.session, story.last
    if before.version == 0 and last.kind in (DecisionKind.UNEXPECTED, DecisionKind.REFUSED):
        assert after == before
        return
    assert after.version == before.version + 1
    assert after.updated_at_ms >= before.updated_at_ms
    assert not any(party.is_gone for party in after.participants)
    if before.state is State.ENDED:
        assert after.state is State.ENDED
        assert after.end_reason == before.end_reason
    if after.state is State.ENDED:
        assert not after.timers
        assert after.end_reason
        assert all(party.is_gone for party in after.parties.values())
    else:
        # A live session always waits for something that will come by itself.
        assert after.timers
    if after.state is State.CONVERTING:
        assert after.unsettled_since_ms
    if after.state is State.TRANSFERRING or (after.state is State.CONFERENCED and after.opening is not Opening.OVER):
        assert after.phase is not Phase.NONE
    if after.state is State.CONFERENCED:
        check_company(after)
    assert len({effect.effect_id for effect in last.effects}) == len(last.effects)
    if last.kind is DecisionKind.STALE:
        assert not last.effects
        # The answer to a read closes it, whatever it contains.
        # Only a late callback says that a phone refused, which no decision reads.
        same = {
            "version": 0,
            "seen": before.seen,
            "updated_at_ms": 0,
            "timers": {},
            "open_read_id": "",
            "attempts": before.attempts,
        }
        assert dataclasses.replace(after, **same) == dataclasses.replace(before, **same)
    if last.kind is DecisionKind.REFUSED:
        assert len(last.reports) == 1
    check_answers(story)
    check_transfer(story)


def check_company(session: Session) -> None:
    """No one is alone beyond the grace, except while someone is dialed; a party due to wait there is read for."""
    waits = session.opening is not Opening.OVER or session.phase is Phase.PARKED
    if not waits:
        assert len(present_parties(session)) >= 2 or session.lone_until_ms or someone_is_being_dialed(session)
    elif session.opening is Opening.CALLING:
        assert someone_is_being_dialed(session) or session.parties["agent"].is_leaving
    else:
        by_caller = session.phase is Phase.PARKED or session.direction == "inbound"
        waiter = session.parties["customer" if by_caller else "agent"]
        assert waiter.in_conference or session.unsettled_since_ms
    if session.opening is Opening.DIALING:
        # A removed party is waited for until the call is over; then it goes on.
        is_removed = any(party.is_leaving for party in session.parties.values())
        answered = any(party.answered for party in session.parties.values() if party.dial_id and not party.is_gone)
        assert someone_is_being_dialed(session) or is_removed or answered, "no one is dialed for the party that waits"
    if session.phase is Phase.PARKED:  # then it is over, but a read comes first
        assert "park" in session.timers or session.unsettled_since_ms


def check_answers(story: Scenario) -> None:
    """Each command gets one final status; by the end of the session, or of the hang-ups that it waits for."""
    for command_id, reported in story.reports.items():
        finals = [status for status, _ in reported if status in ("done", "failed", "rejected")]
        assert len(finals) <= 1, (command_id, reported)
        is_pending = any(one.command_id == command_id for one in story.session.pending_commands)
        if story.session.state is State.ENDED and not is_pending:
            assert len(finals) == 1, (command_id, reported)


def check_transfer(story: Scenario) -> None:
    """No one is dialed twice, nothing is concluded twice, and a transfer that waits does so for something."""
    session, transfer = story.session, story.session.transfer
    ids = [one.id for one in story.conclusions]
    assert len(ids) == len(set(ids))
    assert (session.state is State.ENDED) == any(one.kind == "session" for one in story.conclusions)
    assert (session.state is State.TRANSFERRING) <= (transfer is not None and transfer.is_running)
    if session.state in (State.CONFERENCED, State.ENDED):
        assert transfer is None or not transfer.is_running
    if transfer is not None:
        tried = Counter(attempt.to for attempt in transfer.attempts if attempt.party.startswith("target"))
        most = Counter(transfer.to)
        most.update(story.policy.fallback)
        assert tried <= most
        assert sum(one.party == "agent" for one in transfer.attempts) <= max(1, story.policy.recalls_max)
    if session.state is State.TRANSFERRING and transfer.stage is not TransferStage.TALKING:
        # A dial has an outcome, which comes as an event; only then does its time begin.
        dialed = [party for party in session.parties.values() if party.dial_id and not party.is_gone]
        is_placing = any(not party.dial_check_at_ms for party in dialed)
        assert is_placing or set(session.timers) - {"age"}, f"{transfer.stage} waits for nothing"


SITUATIONS = {
    "waiting": lambda: conference_scenarios.waiting(),
    "parked": lambda: conference_scenarios.parked(),
    "retrieving": lambda: conference_scenarios.retrieving(),
    "unknown": Scenario,
    "ringing": lambda: Scenario().comes_in(),
    "connected": lambda: Scenario().answered(),
    "converting": lambda: Scenario().answered().convert(),
    "conferenced": conferenced,
    "transferring": lambda: conferenced().transfer("warm").confirms("agent"),
    "ended": lambda: Scenario().answered().end(),
}


@each("command", COMMANDS)
@each("situation", SITUATIONS)
def test_every_command_is_answered_in_every_state(situation, command):
    story = SITUATIONS[situation]()
    given = parse({"type": command.name, "session": "any", **FIRST[command.name]})
    story.command(command, "any", **given.values)

    shown = [status for status, _ in story.reports["any"]]
    assert shown in (["rejected"], ["accepted"], ["done"], ["accepted", "done"])


def test_effect_ids_follow_from_the_entry_alone():
    first, second = Scenario().answered(), Scenario().answered()
    assert first.convert().last.effects == second.convert().last.effects
    assert first.last.effects[0].call_sid == AGENT_CALL


def test_state_has_lasted_since_it_or_its_phase_began():
    story = Scenario().comes_in().later(1_000).call("agent", "ringing")
    assert story.session.state_since_ms == story.now_ms - 1_000
    for change in (lambda: story.call("agent", "in-progress"), story.convert):
        story.later(1_000)
        change()
        assert story.session.state_since_ms == story.now_ms


def test_time_never_goes_back():
    story = Scenario().answered()
    earlier = step(story.session, story.last and _end(), story.session.updated_at_ms - 5_000, DEFAULT_POLICY)
    assert earlier.session.ended_at_ms == story.session.updated_at_ms


def _end():
    from conferral.statemachine.events import End

    return End(session_id=CUSTOMER_CALL, entry_id="8-8", token="e")
