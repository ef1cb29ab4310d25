"""A small telephone network: it carries out what was ordered and owes the callbacks, which the test delivers.

Everything is true here at once, but reported late: `owed` holds what Twilio would send, `orders` what the worker hasn't
carried out. It behaves as Twilio documents: a redirected leg leaves the bridge, and the other leg's
`<Dial>` requests its action; a leg with EndConferenceOnExit ends the conference; a call that rings knows no conference.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar

from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Effect,
    EndConference,
    FindCall,
    HangUpCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    SayAndHangUp,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import AnnouncementEnded, Command, EffectSucceeded, Event, TimerExpired
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Phase, State
from tests.statemachine.call_legs import apply
from tests.statemachine.command_scenarios import RECORDING, Orders
from tests.statemachine.scenario import CONFERENCE, CUSTOMER_CALL, OUTBOUND

RINGING, TALKING, OVER = "ringing", "in-progress", "completed"
#: Conferences that are opened one after the other.
CONFERENCES = (CONFERENCE, *(f"CF{number:032x}" for number in range(1, 100)))


@dataclass
class Truth:
    """How one call really is."""

    status: str
    in_conference: bool = False
    #: Whether TwiML of ours goes on after the conference; a straight participant ends with it.
    has_action: bool = True


@dataclass
class PhoneNetwork(Orders):
    """A scenario in which no callback arrives before the test delivers it."""

    decides_twice: ClassVar[bool] = False  # stories do; here it would only cost time

    given: Policy | None = None
    is_outbound: bool = False
    owed: list[Event] = field(default_factory=list)
    orders: list[Effect] = field(default_factory=list)
    truth: dict[str, Truth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.given, session_id=OUTBOUND if self.is_outbound else CUSTOMER_CALL)
        self.is_bridged = False
        #: Calls that the `<Dial>` of the bridge joins: whose it is, and whom it rings.
        self.parent, self.child = "", ""
        #: Dials that Twilio refused for the number that they would have shown (count).
        self.refused_numbers = 0
        self._conferences = 0

    def fork(self) -> "PhoneNetwork":
        """Another network at the same moment, which goes its own way from here on."""
        other = copy(self)
        for name in ("owed", "orders", "effects", "outcome_records", "unconfirmed", "_sequences"):
            setattr(other, name, copy(getattr(self, name)))
        other.reports = {command_id: list(reported) for command_id, reported in self.reports.items()}
        other.truth = {call_sid: replace(truth) for call_sid, truth in self.truth.items()}
        other.legs = self.legs.fork()
        return other

    # ---- events ------------------------------------------------------------------------------------------------------

    def take(self, event: Event) -> "PhoneNetwork":
        if isinstance(event, Command | TimerExpired):
            return self.take_now(event)
        self.owed.append(event)
        return self

    def take_now(self, event: Event) -> "PhoneNetwork":
        super().take(event)
        assert self.last is not None
        if self.session.state is State.ENDED:
            # What was not sent is dropped; endings go on.
            self.orders = [command for command in self.orders if command.is_ending]
        self.orders += self.last.effects
        return self

    def deliver(self, index: int = 0) -> None:
        self.take_now(self.owed.pop(index % len(self.owed)))

    def deliver_all(self) -> None:
        while self.owed:
            self.deliver()

    # ---- what people do ------------------------------------------------------------------------------------------

    def connect(self) -> "PhoneNetwork":
        """The two talk over a bridge, in either direction."""
        if self.is_outbound:
            self.calls_out()
            self.execute()
            self.answers("agent")
            self.answers("customer")
        else:
            self.comes_in(call_token="token").call("agent", "initiated").call("agent", "ringing")
            self.call("agent", TALKING)
            for name in ("customer", "agent"):
                self.truth[self.legs[name].call_sid] = Truth(TALKING)
        parent, child = ("agent", "customer") if self.is_outbound else ("customer", "agent")
        self.parent, self.child = self.legs[parent].call_sid, self.legs[child].call_sid
        self.is_bridged = True
        self.deliver_all()
        return self

    def of(self, name: str) -> Truth:
        return self.truth[self.legs[name].call_sid]

    def placed_calls(self) -> dict[str, Truth]:
        """How each leg is that there is; names change hands when someone is dialed once more."""
        return {name: self.truth[leg.call_sid] for name, leg in self.legs.items() if leg.call_sid in self.truth}

    def ringing(self) -> list[str]:
        return [name for name, truth in self.placed_calls().items() if truth.status == RINGING]

    def talking(self) -> list[str]:
        return [name for name, truth in self.placed_calls().items() if truth.status == TALKING]

    def answers(self, name: str) -> None:
        """A phone that rings is picked up; our gate decides by what is known now."""
        truth, leg = self.of(name), self.legs[name]
        truth.status = TALKING
        self.call(name, "in-progress")
        if name == "customer":
            return  # into the bridge
        if not leg.is_gated:
            self._join(name, starts=leg.party != "supervisor")
            return
        self.gate(name)
        party = self.session.find_party(dial=leg.dial, call_sid=leg.call_sid)
        waited_for = party is not None and party.dial_id == leg.dial and not (party.is_gone or party.is_leaving)
        taken = any(
            other.ring_group and party is not None and other.ring_group == party.ring_group and other.takes_part
            for other in self.session.parties.values()
        )
        if not self.parent:
            self.gate(name, "accepted").call("customer", "initiated").call("customer", RINGING)
            self.truth[self.legs["customer"].call_sid] = Truth(RINGING)
        elif waited_for and not taken and self.session.state in (State.TRANSFERRING, State.CONFERENCED):
            self.gate(name, "accepted")
            self._join(name, starts=leg.party != "supervisor")
        else:
            self.gate(name, "taken" if taken else "too-late")
            self.hangs_up(name)

    def does_not_answer(self, name: str, status: str) -> None:
        self.of(name).status = status
        self.call(name, status)

    def hangs_up(self, name: str) -> None:
        """A live call ends, for any cause."""
        truth = self.of(name)
        was_talking = truth.status == TALKING
        truth.status = OVER if was_talking else "canceled"
        self.call(name, truth.status)
        if truth.in_conference:
            self._leave(name, OVER)
        elif self.is_bridged and self.legs[name].call_sid in (self.parent, self.child):
            self._unbridge(self.legs[name].call_sid)

    def _name_of(self, call_sid: str) -> str:
        return next(name for name, leg in self.legs.items() if leg.call_sid == call_sid)

    def _unbridge(self, out: str) -> None:
        """The bridge is over because one of the two calls is out of it."""
        self.is_bridged = False
        parent, child = self._name_of(self.parent), self._name_of(self.child)
        if out == self.child:
            self.dial_ends("completed", party=parent)
            self._ask_action(parent)
            return
        if self.of(parent).status != TALKING:
            self.dial_ends("completed", party=parent, call_status=OVER)
        if self.of(child).status == TALKING:
            self.of(child).status = OVER
            self.call(child, OVER)

    # ---- the conference ------------------------------------------------------------------------------------------

    @property
    def inside(self) -> list[str]:
        return [name for name, truth in self.placed_calls().items() if truth.in_conference]

    @property
    def conference(self) -> str:
        return CONFERENCES[self._conferences]

    def _join(self, name: str, *, starts: bool) -> None:
        self.of(name).in_conference = True
        self.of(name).has_action = self.legs[name].is_gated or not self.legs[name].dial
        self.joins(name, conference=self.conference, starts=starts)

    def _leave(self, name: str, status: str, reason: str = "participant_hung_up") -> None:
        self.of(name).in_conference = False
        self.leaves(name, conference=self.conference, status=status, reason=reason)
        if self.legs[name].end_on_exit or not self.inside:
            self._close(name)

    def _close(self, by: str = "") -> None:
        rest = self.inside
        for name in rest:
            self.of(name).in_conference = False
            self.leaves(name, conference=self.conference, status=TALKING, reason="conference_ended")
        self.conference_ends(conference=self.conference, by=by)
        self._conferences += 1
        for name in rest:
            if self.of(name).has_action:
                self._ask_action(name, after_conference=True)
            else:
                self.of(name).status = OVER
                self.call(name, OVER)

    def _ask_action(self, name: str, *, after_conference: bool = False) -> None:
        """The `<Dial>` of a call is over; what follows is decided by what is known now."""
        party = self.session.find_party(call_sid=self.legs[name].call_sid)
        joins = party is not None and not party.is_leaving and not party.is_gone
        if after_conference:
            waits_there = self.session.state is State.TRANSFERRING or self.session.phase is Phase.PARKED
            joins = joins and waits_there and name == "customer"
        else:
            joins = joins and self.session.state in (State.CONVERTING, State.CONFERENCED, State.TRANSFERRING)
        if joins:
            waits = (
                name == "customer"
                and self.session.state in (State.TRANSFERRING, State.CONFERENCED)
                and after_conference
            )
            waits = waits or (self.session.state is State.TRANSFERRING and name == "customer")
            self._join(name, starts=not waits)
        else:
            self.of(name).status = OVER
            self.call(name, OVER)

    # ---- what the worker does ------------------------------------------------------------------------------------

    def execute(self, result: str = "done") -> None:
        """Carries out the next order.

        Args:
            result: `done`; `refused`: Twilio did not take it; `unknown`: no one knows, and it has not happened;
                `done-unknown`: no one knows, and it has.
        """
        command = self.orders.pop(0)
        if command.is_ending:
            result = "done"  # repeated until Twilio gives a definite answer
        if isinstance(command, CreateCall | CreateParticipant) and self._leg_of(command.effect_id) is None:
            return  # its party was dialed again before it was sent
        happens = result in ("done", "done-unknown") and self._carry_out(command)
        if isinstance(command, ReadCalls) and happens:
            return  # its answer is what was seen
        if result.endswith("unknown"):
            self.is_unknown(command.kind, command.party, command.effect_id)
        elif not happens:
            self.refused_numbers += isinstance(command, CreateCall | CreateParticipant) and bool(command.caller_id)
            gone = result == "done"
            self.fails(command.kind, command.party, gone=gone, status=404 if gone else 400, effect_id=command.effect_id)
        else:
            self._succeed(command)

    def _succeed(self, command: Effect) -> None:
        name = self._leg_of(getattr(command, "dial_id", "") or command.effect_id)
        found = isinstance(command, CreateCall | CreateParticipant | FindCall) and name in self.placed_calls()
        event = EffectSucceeded(
            **self._common(), effect_id=command.effect_id, kind=command.kind, party=command.party,
            call_sid=self.legs[name].call_sid if found and name else "",
            recording_sid=RECORDING if isinstance(command, StartRecording) else "",
        )  # fmt: skip
        self.take(event)

    def _leg_of(self, dial: str) -> str | None:
        return next((name for name, leg in self.legs.items() if dial and leg.dial == dial), None)

    def _carry_out(self, command: Effect) -> bool:
        """Whether Twilio could do it."""
        match command:
            case CreateCall() | CreateParticipant():
                name = self._leg_of(command.effect_id)
                assert name is not None
                if isinstance(command, CreateParticipant) and not self.inside:
                    return False
                self.truth[self.legs[name].call_sid] = Truth(RINGING)
                self.call(name, "ringing")
            case UpdateParticipant():
                return self._update(command)
            case PlayAnnouncement():
                return self._play(command)
            case StartRecording() | ChangeRecording():
                return not command.call_sid or self.of(self._name_of(command.call_sid)).status == TALKING
            case HangUpCall() | SayAndHangUp():
                name = self._name_of(command.call_sid)
                if self.of(name).status in (TALKING, RINGING):
                    self.hangs_up(name)
            case EndConference():
                if self.inside:
                    self._close()
            case RedirectCall():
                return self._redirect(command)
            case ReadCalls():
                self._read(command)
        return True

    def _update(self, command: UpdateParticipant) -> bool:
        name = self._name_of(command.call_sid)
        leg = self.legs[name]
        if not self.of(name).in_conference or command.conference_sid != self.conference:
            return False
        if command.coaches and not self.of(self._name_of(command.coaches)).in_conference:
            return False
        apply(command, leg)
        self.changes(name, conference=self.conference)
        return True

    def _play(self, command: PlayAnnouncement) -> bool:
        hears = self._name_of(command.call_sid) if command.call_sid else ""
        if command.conference_sid != self.conference or not (self.of(hears).in_conference if hears else self.inside):
            return False
        common = self._common(self.conference, 1)
        self.take(AnnouncementEnded(**common, conference_sid=self.conference, call_sid=command.call_sid))
        return True

    def _redirect(self, command: RedirectCall) -> bool:
        name = self._name_of(command.call_sid)
        if self.of(name).status != TALKING:
            return False
        if self.of(name).in_conference:
            self._leave(name, TALKING, "participant_updated_via_api")
        self._join(name, starts=not command.wait_audio)
        if self.is_bridged and command.call_sid in (self.parent, self.child):
            self._unbridge(command.call_sid)
        return True

    def _read(self, command: ReadCalls) -> None:
        sids = {command.parent_call_sid, *command.call_sids}
        if command.parent_call_sid:
            sids.add(self.child)
        seen = {name: truth.status for name, truth in self.placed_calls().items() if self.legs[name].call_sid in sids}
        inside = tuple(self.inside) if command.with_conference else ()
        self.reads(conference=self.conference if inside else "", inside=inside, version=command.read_version, **seen)

    # ---- until nothing is left to be done ------------------------------------------------------------------------

    def next_timer(self) -> str:
        """The timer that is due first, `age` only when nothing else is."""
        timers = {name: due for name, due in self.session.timers.items() if name != "age"}
        return min(timers, key=timers.__getitem__) if timers else ""

    def settle(self, fire: Callable[[str], None], *, steps: int = 300) -> bool:
        """Lets everything come that is owed, in order and on time; whether an end of that is found."""
        for _ in range(steps):
            if self.owed:
                self.deliver()
            elif self.orders:
                self.execute()
            elif self.next_timer():
                fire(self.next_timer())
            else:
                return True
        return False
