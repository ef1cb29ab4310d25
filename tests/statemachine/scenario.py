"""A story: one line is one event and what is expected of it."""

from collections.abc import Mapping
from typing import Any

from conferral.statemachine.effects import Dial, Effect, EndConference, HangUpCall, UpdateParticipant
from conferral.statemachine.events import (
    Call,
    CallProgressed,
    CallReceived,
    CallSeen,
    CallsRead,
    Cancel,
    Command,
    Complete,
    ConferenceEnded,
    ConferenceStarted,
    Convert,
    DialEnded,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    Event,
    GateDecided,
    GateReached,
    HoldOverdue,
    Merge,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantSeen,
    ReadOverdue,
    Swap,
    TimerExpired,
    Transfer,
)
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.presence import UNKNOWN_PRESENCE
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import Conclusion, Step
from tests.statemachine.call_legs import (
    AGENT_CALL,
    CONFERENCE,
    CUSTOMER_CALL,
    GUEST_CALL,
    OTHER_CONFERENCE,
    Leg,
    Legs,
    apply,
    flags_of,
    words,
)
from tests.support.command_examples import with_options
from tests.support.people import ALICE, BOB, CAROL, CUSTOMER

__all__ = [
    "AGENT_CALL", "ALICE", "BOB", "CAROL", "CONFERENCE", "CUSTOMER", "CUSTOMER_CALL", "GUEST_CALL",
    "OTHER_CONFERENCE", "OUTBOUND", "Scenario",
]  # fmt: skip

#: The id of an outbound session.
OUTBOUND = "CS" + "0" * 32
#: Commands of which a test may state all that are allowed; the others have tests of their own.
ABOUT_TRANSFERS = frozenset(kind.name for kind in (Call, Convert, Transfer, Complete, Cancel, Swap, Merge, End))
#: Phones ring for their whole time before they are read: the earlier reads have stories of their own.
UNREAD = Policy(ring_read_ms=600_000)
#: StatusCallbackEvent by what was asked for; Twilio has no other word for flags and coaching.
_KINDS = {word: f"participant-{word}" for word in ("hold", "unhold", "mute", "unmute")}


class Scenario:
    """Feeds events to one session and remembers everything that came of them."""

    decides_twice = True

    def __init__(self, policy: Policy | None = None, *, session_id: str = CUSTOMER_CALL) -> None:
        self.policy, self.presence = policy or UNREAD, UNKNOWN_PRESENCE
        self.session = Session(session_id)
        self.now_ms = 1_000_000
        self.legs = Legs()
        self.last: Step | None = None
        self.effects: list[Effect] = []  # every one so far
        self.reports: dict[str, list[tuple[str, str]]] = {}
        self.conclusions: list[Conclusion] = []
        self.steps: list[tuple[Event, Session, Step, int]] = []  # with the session before, and the time
        #: Holds and flags that Twilio was asked for and has not confirmed.
        self.unconfirmed: list[UpdateParticipant] = []
        self._entry = 0
        self.sequences: dict[str, int] = {}

    # ---- what happens --------------------------------------------------------------------------------------------

    def take(self, event: Event) -> "Scenario":
        before = self.session
        self.last = step(before, event, self.now_ms, self.policy, self.presence)
        self.session = self.last.session
        self.steps.append((event, before, self.last, self.now_ms))
        self._check_hang_ups(before)
        assert (ReadOverdue.timer in self.session.timers) == bool(self.session.unsettled_since_ms)
        if self.decides_twice:
            # The same entry decided again gives the same: a step is a function of its arguments.
            assert step(before, event, self.now_ms, self.policy, self.presence) == self.last
        self.effects += self.last.effects
        self.conclusions += self.last.conclusions
        for report in self.last.reports:
            self.reports.setdefault(report.command_id, []).append((report.status.value, report.reason))
        for effect in self.last.effects:
            if isinstance(effect, UpdateParticipant):
                self.unconfirmed.append(effect)
            elif isinstance(effect, Dial):
                party = next(one for one in self.session.parties.values() if one.dial_id == effect.effect_id)
                self.legs.dial(effect, party.label)
        return self

    def _check_hang_ups(self, before: Session) -> None:
        """Every call that counts as hung up when a session ends was hung up by a request of its own."""
        assert self.last is not None
        self._was_inside = {party.call_sid for party in before.participants if party.answered or not party.dial_id}
        if before.state is State.ENDED or self.session.state is not State.ENDED:
            return
        asked = {effect.call_sid for effect in self.last.effects if isinstance(effect, HangUpCall)}
        known = {party.call_sid for party in before.parties.values() if party.hang_up_requested}
        released = (
            one for one in self.session.parties.values() if one.hang_up_requested and one.left_reason == "released"
        )
        assert {party.call_sid for party in released} <= asked | known

    def later(self, ms: int) -> "Scenario":
        self.now_ms += ms
        return self

    def common(self, source: str = "", first: int = 0, **given: Any) -> dict[str, Any]:
        self._entry += 1
        common: dict[str, Any] = {"session_id": self.session.id, "entry_id": f"{self.now_ms}-{self._entry}"}
        if source:
            number = self.sequences.get(source, first - 1) + 1
            self.sequences[source] = number
            common |= {"source": source, "sequence": number}
        else:
            common["token"] = f"token-{self._entry}"
        return common | given

    # ---- calls ---------------------------------------------------------------------------------------------------

    def comes_in(self, **given: Any) -> "Scenario":
        call_token, agent = given.pop("call_token", ""), given.pop("agent_address", ALICE)
        called_number, has_caller_id = given.pop("called_number", ""), given.pop("has_caller_id", bool(call_token))
        return self.take(
            CallReceived(
                **self.common(**{"token": "call_received"} | given),
                call_sid=CUSTOMER_CALL,
                customer_address=CUSTOMER,
                agent_address=agent,
                has_caller_id=has_caller_id, call_token=call_token, called_number=called_number,
            )
        )  # fmt: skip

    def call(self, name: str, status: str, **given: Any) -> "Scenario":
        """The status callback of a leg."""
        leg = self.legs[name]
        sip, ended_s = given.pop("sip", 0), given.pop("ended_s", 0)
        dial, desk, common = given.pop("dial", leg.dial), given.pop("desk", False), self.common(leg.call_sid, **given)
        leg.is_over = leg.is_over or status in ("completed", "busy", "failed", "no-answer", "canceled")
        return self.take(
            CallProgressed(
                **common,
                party=leg.party,
                call_sid=leg.call_sid,
                status=status,
                sip_response_code=sip,
                ended_s=ended_s,
                address=ALICE,
                customer_address=CUSTOMER,
                dial=dial,
                desk=desk,
            )
        )

    def answered(self) -> "Scenario":
        """An inbound call whose agent has picked up."""
        self.comes_in()
        for status in ("initiated", "ringing", "in-progress"):
            self.call("agent", status)
        return self

    def dial_ends(
        self,
        status: str,
        *,
        call_status: str = "in-progress",
        dial: str = "bridge",
        party: str = "customer",
        code: int = 0,
        **given: Any,
    ) -> "Scenario":
        leg = self.legs[party]
        event = DialEnded(
            **self.common(**given),
            party=leg.party,
            call_sid=leg.call_sid,
            dial_kind=dial,
            dial_call_status=status,
            call_status=call_status,
            code=code,
        )
        return self.take(event)

    # ---- the conference ------------------------------------------------------------------------------------------

    def joins(self, name: str, *, conference: str = CONFERENCE, starts: bool = True, **given: Any) -> "Scenario":
        leg = self.legs[name]
        leg.in_conference, leg.held, leg.end_on_exit = True, False, False
        leg.muted, leg.coaches = leg.party == "supervisor", ""
        leg.starts = starts
        event = ParticipantJoined(
            **self.common(conference, 1, **given),
            conference_sid=conference,
            call_sid=leg.call_sid,
            label=leg.label,
            start_on_enter=starts,
        )
        return self.take(event)

    def leaves(
        self, name: str, *,
        status: str = "completed", reason: str = "participant_hung_up", conference: str = CONFERENCE, **given: Any,
    ) -> "Scenario":  # fmt: skip
        leg = self.legs[name]
        leg.in_conference, left_s = False, given.pop("left_s", 0)
        event = ParticipantLeft(
            **self.common(conference, 1, **given),
            conference_sid=conference,
            call_sid=leg.call_sid,
            label=leg.label,
            call_status=status,
            left_reason=reason,
            left_s=left_s,
        )
        return self.take(event)

    def changes(self, name: str, *, conference: str = CONFERENCE, kind: str = "", **given: Any) -> "Scenario":
        """A callback reports the leg's hold and EndConferenceOnExit."""
        leg = self.legs[name]
        event = ParticipantChanged(
            **self.common(conference, 1, **given), conference_sid=conference, call_sid=leg.call_sid, label=leg.label,
            kind=kind or "participant-modify", **flags_of(leg),
        )  # fmt: skip
        return self.take(event)

    def does(self, name: str) -> Leg:
        """Twilio applies an update of a participant, without a callback."""
        leg = self.legs[name]
        for effect in [one for one in self.unconfirmed if one.call_sid == leg.call_sid]:
            self.unconfirmed.remove(effect)
            apply(effect, leg)
        return leg

    def confirms(self, *names: str) -> "Scenario":
        """Twilio has applied the updates of these participants, and sends the callbacks."""
        for name in names:
            asked = [effect for effect in self.unconfirmed if effect.call_sid == self.legs[name].call_sid]
            assert asked, name
            self.does(name)
            self.changes(name, kind=_KINDS.get(asked[-1].detail, "participant-modify"))
        return self

    def conference_starts(self) -> "Scenario":
        return self.take(ConferenceStarted(**self.common(CONFERENCE, 1), conference_sid=CONFERENCE))

    def conference_ends(
        self, *, conference: str = CONFERENCE, reason: str = "last-participant-left", by: str = ""
    ) -> "Scenario":
        ending = self.legs[by].call_sid if by else ""
        event = ConferenceEnded(
            **self.common(conference, 1), conference_sid=conference, conference_reason=reason, call_sid_ending=ending
        )
        return self.take(event)

    # ---- those who are dialed by REST ---------------------------------------------------------------------------
    def placed(self, name: str, *, queue_ms: int = 0) -> "Scenario":
        """Twilio has taken the dial."""
        leg = self.legs[name]
        kind = "create_call" if leg.is_gated else "create_participant"
        event = EffectSucceeded(
            **self.common(), effect_id=leg.dial, kind=kind, party=leg.party, call_sid=leg.call_sid, queue_ms=queue_ms
        )
        return self.take(event)

    def refused(self, name: str, *, status: int = 400, code: int = 21211, **given: Any) -> "Scenario":
        """Twilio has refused the dial."""
        leg = self.legs[name]
        kind = "create_call" if leg.is_gated else "create_participant"
        return self.fails(kind, leg.party, status=status, code=code, effect_id=leg.dial, **given)

    def unknown_outcome(self, name: str) -> "Scenario":
        """No one knows whether Twilio has taken the dial."""
        leg = self.legs[name]
        return self.is_unknown("create_call" if leg.is_gated else "create_participant", leg.party, leg.dial)

    def found(self, name: str, *, call_sid: str | None = None) -> "Scenario":
        """The list of calls shows the leg of a dial in doubt, or with an empty `call_sid` that there is none."""
        leg = self.legs[name]
        sid = leg.call_sid if call_sid is None else call_sid
        return self.take(
            EffectSucceeded(**self.common(), effect_id="found", kind="find_call", party=leg.party, call_sid=sid)
        )

    def gate(self, name: str, decision: str = "") -> "Scenario":
        """A leg reaches our gate, or the gate has decided."""
        leg = self.legs[name]
        common = self.common() | {"dial": leg.dial, "call_sid": leg.call_sid}
        return self.take(GateDecided(**common, decision=decision) if decision else GateReached(**common))

    def takes_part(self, name: str) -> "Scenario":
        """Someone who was dialed picks up and comes into the conference."""
        return self.answers(name).joins(name)

    def answers(self, name: str) -> "Scenario":
        """Someone who was dialed picks up and has passed the gate, if any; the join is not reported yet."""
        rings = self.placed(name).call(name, "ringing")
        return rings.gate(name).gate(name, "accepted") if self.legs[name].is_gated else rings.call(name, "in-progress")

    # ---- timers, reads, outcomes ---------------------------------------------------------------------------------

    def fires(self, timer: type[TimerExpired]) -> "Scenario":
        """The timer expires when it is due; it has to be set."""
        due_ms = self.session.timers[timer.timer]
        self.now_ms = max(self.now_ms, due_ms)
        return self.take(timer(**self.common(token=""), due_ms=due_ms))

    def reads(
        self, *, conference: str = "", inside: tuple[str, ...] = (), version: int | None = None,
        ends: Mapping[str, int] | None = None, to: str = "", **statuses: str,
    ) -> "Scenario":  # fmt: skip
        """A read of Twilio shows these statuses, when calls ended, and those inside as Twilio has them."""
        if not self.session.open_read_id:  # requested just now
            self.session = replace(self.session, open_read_since_ms=self.now_ms)
        parent = "agent" if self.session.direction == "outbound" else "customer"
        sids = {name: leg.call_sid for name, leg in self.legs.items()}
        calls = tuple(
            CallSeen(sids[one], now, *(("", "") if one == parent else (sids[parent], to)), (ends or {}).get(one, 0))
            for one, now in statuses.items()
        )
        return self.take(CallsRead(
            **self.common(), effect_id=self.session.open_read_id or "read", calls=calls, conference_sid=conference,
            read_version=self.session.version if version is None else version,
            participants=tuple(_seen(self.legs[name]) for name in inside),
        ))  # fmt: skip

    def rings_on(self, name: str) -> "Scenario":
        """A read shows that a dialed phone still rings, and the conference as it is known."""
        known = [party.call_sid for party in self.session.participants]
        inside = tuple(other for other, leg in self.legs.items() if leg.call_sid in known)
        return self.reads(conference=self.session.conference_sid, inside=inside, **{name: "ringing"})

    def succeeds(self, kind: str, party: str = "", effect_id: str = "effect", **given: Any) -> "Scenario":
        return self.take(EffectSucceeded(**self.common(), effect_id=effect_id, kind=kind, party=party, **given))

    def fails(
        self, kind: str, party: str = "", *,
        gone: bool = False, status: int = 400, effect_id: str = "effect", **given: Any,
    ) -> "Scenario":  # fmt: skip
        effect_id = self._of_read(kind, effect_id)
        event = EffectFailed(
            **self.common(), effect_id=effect_id, kind=kind, party=party, gone=gone, http_status=status, **given
        )
        return self.take(event)

    def is_unknown(self, kind: str, party: str = "", effect_id: str = "effect", **given: Any) -> "Scenario":
        effect_id = self._of_read(kind, effect_id)
        return self.take(EffectUnknown(**self.common(**given), effect_id=effect_id, kind=kind, party=party))

    def _of_read(self, kind: str, effect_id: str) -> str:
        """A read without an answer is the open one."""
        return self.session.open_read_id or effect_id if kind == "read_calls" else effect_id

    # ---- commands ------------------------------------------------------------------------------------------------

    def command(self, kind: type[Command], command_id: str, **fields: Any) -> "Scenario":
        return self.take(kind(**self.common(token=command_id), **with_options(kind, fields)))

    def calls_out(self, command_id: str = "call-1", **options: Any) -> "Scenario":
        return self.command(Call, command_id, agent=ALICE, customer=CUSTOMER, **options)

    def convert(self, command_id: str = "convert-1") -> "Scenario":
        return self.command(Convert, command_id)

    def transfer(self, mode: str, *to: str, command_id: str = "transfer-1", **options: Any) -> "Scenario":
        return self.command(Transfer, command_id, mode=mode, to=to or (BOB,), **options)

    def complete(self, command_id: str = "complete-1") -> "Scenario":
        return self.command(Complete, command_id)

    def cancel(self, command_id: str = "cancel-1") -> "Scenario":
        return self.command(Cancel, command_id)

    def swap(self, command_id: str = "swap-1") -> "Scenario":
        return self.command(Swap, command_id)

    def merge(self, command_id: str = "merge-1") -> "Scenario":
        return self.command(Merge, command_id)

    def end(self, command_id: str = "end-1") -> "Scenario":
        return self.command(End, command_id)

    # ---- what is expected ----------------------------------------------------------------------------------------

    def words(self) -> list[str]:
        """The last effects; `end room` includes hang-ups of those inside, a hold its clearing of the flag."""
        assert self.last is not None
        ends_conference = any(isinstance(effect, EndConference) for effect in self.last.effects)
        folded = self._was_inside if ends_conference else set()
        reported = [
            words(effect)
            for effect in self.last.effects
            if not (isinstance(effect, HangUpCall) and effect.call_sid in folded)
        ]
        pairs = zip(reported, [*reported[1:], ""], strict=False)
        return [word for word, following in pairs if following.split() != ["hold", *word.split()[1:]]]

    def expect(
        self,
        state: str,
        *effects: str,
        reason: str | None = None,
        outcome: str | None = None,
        phase: str | None = None,
    ) -> "Scenario":
        """The state now, and exactly the effects that the last event ordered."""
        assert self.last is not None
        assert self.session.state.value == state
        assert self.words() == list(effects)
        if reason is not None:
            assert self.session.end_reason == reason
        if outcome is not None:
            assert self.last.kind.value == outcome
        if phase is not None:
            assert self.session.phase.value == phase
        return self

    def expect_timers(self, *timers: str) -> "Scenario":
        """Those that are set; the limit of a hold, and the timer of reads, only if they are named."""
        assert set(self.session.timers) - ({HoldOverdue.timer, ReadOverdue.timer} - {*timers}) == {*timers, "age"}
        return self

    def expect_command(self, command_id: str, *statuses: str, reason: str | None = None) -> "Scenario":
        """The statuses reported for the command; and the reason of the last one."""
        shown = self.reports.get(command_id, [])
        assert [status for status, _ in shown] == list(statuses)
        assert reason is None or shown[-1][1] == reason
        return self

    def expect_refused(self, command_id: str, why: str, *, allowed: tuple[str, ...] | None = None) -> "Scenario":
        """The command was refused for this reason without effect; of ABOUT_TRANSFERS it names these as allowed."""
        assert self.last is not None
        assert self.last.kind.value == "refused"
        assert not self.last.effects
        self.expect_command(command_id, "rejected")
        reported, _, named = self.reports[command_id][-1][1].partition("; allowed now: ")
        assert (reported, bool(named)) == (why, True)
        assert allowed in (None, tuple(name for name in named.split(", ") if name in ABOUT_TRANSFERS))
        return self

    def expect_transfer(self, status: str, reason: str = "") -> "Scenario":
        transfer = self.session.transfer
        assert transfer is not None
        assert (transfer.status.value, transfer.reason) == (status, reason)
        return self

    def expect_held(self, *names: str) -> "Scenario":
        """Exactly these parties are on hold, by Twilio's word."""
        assert {party.name for party in self.session.parties.values() if party.held} == set(names)
        return self

    def expect_parties(self, **statuses: str) -> "Scenario":
        """Exactly these parties there are; `agent_1` stands for `agent-1`."""
        found = {name.replace("-", "_"): party.status.value for name, party in self.session.parties.items()}
        assert found == statuses
        return self

    def expect_concluded(self, *conclusions: tuple[str, str, str]) -> "Scenario":
        """The outcomes published so far: kind, result, reason."""
        assert [(one.kind, one.result, one.reason) for one in self.conclusions] == list(conclusions)
        return self

    def expect_attempts(self, *attempts: tuple[str, str]) -> "Scenario":
        """Whom the newest transfer tried to reach, and what came of it."""
        assert self.session.transfer is not None
        assert [(one.to, one.result) for one in self.session.transfer.attempts] == list(attempts)
        return self


def _seen(leg: Leg) -> ParticipantSeen:
    """A participant as a read shows it."""
    flags = flags_of(leg) | {"coaches": leg.coaches}
    return ParticipantSeen(leg.call_sid, leg.label, **flags, is_ringing=leg.is_ringing, start_on_enter=leg.starts)
