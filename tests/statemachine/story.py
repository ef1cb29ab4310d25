"""A story: one line is one event and what is expected of it."""

from typing import Any

from statemachine.events import (
    CallProgressed,
    CallReceived,
    CallSeen,
    CallsRead,
    Command,
    ConferenceEnded,
    ConferenceStarted,
    Convert,
    DialEnded,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    Event,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantSeen,
    TimerExpired,
)
from statemachine.machine import step
from statemachine.policy import Policy
from statemachine.session import Session
from statemachine.step import Step

CUSTOMER_CALL = "CA" + "c" * 32
AGENT_CALL = "CA" + "a" * 32
ROOM = "CF" + "f" * 32
CALLS = {"customer": CUSTOMER_CALL, "agent": AGENT_CALL}


class Story:
    """Feeds events to one session and remembers everything that came of them."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.session = Session(CUSTOMER_CALL)
        self.now_ms = 1_000_000
        self.last: Step | None = None
        self.effects: list[tuple[str, str]] = []
        self.reports: dict[str, list[tuple[str, str]]] = {}
        self._entry = 0
        self._sequences: dict[str, int] = {}

    # ---- what happens --------------------------------------------------------------------------------------------

    def take(self, event: Event) -> "Story":
        before = self.session
        self.last = step(before, event, self.now_ms, self.policy)
        self.session = self.last.session
        self.effects += [(effect.kind, effect.party) for effect in self.last.effects]
        for report in self.last.reports:
            self.reports.setdefault(report.command_id, []).append((report.status.value, report.reason))
        # The same entry decided again gives the same: a step is a function of its arguments.
        assert step(before, event, self.now_ms, self.policy) == self.last
        return self

    def later(self, ms: int) -> "Story":
        self.now_ms += ms
        return self

    def _common(self, source: str = "", first: int = 0, **given: Any) -> dict[str, Any]:
        self._entry += 1
        common: dict[str, Any] = {"session_id": CUSTOMER_CALL, "entry_id": f"{self.now_ms}-{self._entry}"}
        if source:
            number = self._sequences.get(source, first - 1) + 1
            self._sequences[source] = number
            common |= {"source": source, "sequence": number}
        else:
            common["token"] = f"token-{self._entry}"
        return common | given

    def comes_in(self, **given: Any) -> "Story":
        return self.take(
            CallReceived(
                **self._common(**{"token": "call_received"} | given),
                call_sid=CUSTOMER_CALL,
                customer_address="+14155550123",
                agent_address="client:alice",
            )
        )

    def call(self, party: str, status: str, **given: Any) -> "Story":
        sip = given.pop("sip", 0)
        sid = given.pop("call_sid", CALLS[party])
        common = self._common(sid, **given)
        return self.take(
            CallProgressed(
                **common,
                party=party,
                call_sid=sid,
                status=status,
                sip_response_code=sip,
                address="client:alice",
                customer_address="+14155550123",
            )
        )

    def answered(self) -> "Story":
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
        other_side_lives: bool = False,
    ) -> "Story":
        event = DialEnded(
            **self._common(),
            party=party,
            call_sid=CALLS[party],
            dial=dial,
            dial_call_status=status,
            call_status=call_status,
            other_side_lives=other_side_lives,
        )
        return self.take(event)

    def joins(self, party: str, *, room: str = ROOM, **given: Any) -> "Story":
        event = ParticipantJoined(
            **self._common(room, 1, **given), conference_sid=room, call_sid=CALLS.get(party, party), label=f"{party}-1"
        )
        return self.take(event)

    def leaves(
        self, party: str, *, status: str = "completed", reason: str = "participant_hung_up", **given: Any
    ) -> "Story":
        event = ParticipantLeft(
            **self._common(ROOM, 1, **given),
            conference_sid=ROOM,
            call_sid=CALLS.get(party, party),
            label=f"{party}-1",
            call_status=status,
            left_reason=reason,
        )
        return self.take(event)

    def conference_starts(self) -> "Story":
        return self.take(ConferenceStarted(**self._common(ROOM, 1), conference_sid=ROOM))

    def conference_ends(self, *, room: str = ROOM, reason: str = "last-participant-left", by: str = "") -> "Story":
        event = ConferenceEnded(
            **self._common(room, 1), conference_sid=room, conference_reason=reason, call_sid_ending=CALLS.get(by, "")
        )
        return self.take(event)

    def fires(self, timer: type[TimerExpired]) -> "Story":
        """The timer expires when it is due; it has to be set."""
        due_ms = self.session.timers[timer.timer]
        self.now_ms = max(self.now_ms, due_ms)
        return self.take(timer(**self._common(), due_ms=due_ms))

    def reads(
        self, *, room: str = "", inside: tuple[str, ...] = (), version: int | None = None, **statuses: str
    ) -> "Story":
        """A look at Twilio shows these statuses."""
        calls = tuple(
            CallSeen(CALLS[party], status, "" if party == "customer" else CUSTOMER_CALL)
            for party, status in statuses.items()
        )
        event = CallsRead(
            **self._common(),
            effect_id="read",
            read_version=self.session.version if version is None else version,
            calls=calls,
            conference_sid=room,
            participants=tuple(ParticipantSeen(CALLS[party], f"{party}-1") for party in inside),
        )
        return self.take(event)

    def command(self, kind: type[Command], command_id: str) -> "Story":
        return self.take(kind(**self._common(token=command_id)))

    def convert(self, command_id: str = "convert-1") -> "Story":
        return self.command(Convert, command_id)

    def end(self, command_id: str = "end-1") -> "Story":
        return self.command(End, command_id)

    def succeeds(self, kind: str, party: str = "", effect_id: str = "effect") -> "Story":
        return self.take(EffectSucceeded(**self._common(), effect_id=effect_id, kind=kind, party=party))

    def fails(
        self,
        kind: str,
        party: str = "",
        *,
        gone: bool = False,
        status: int = 400,
        code: int = 0,
        effect_id: str = "effect",
    ) -> "Story":
        event = EffectFailed(
            **self._common(), effect_id=effect_id, kind=kind, party=party, gone=gone, http_status=status, code=code
        )
        return self.take(event)

    def is_unknown(self, kind: str, party: str = "", effect_id: str = "effect") -> "Story":
        return self.take(EffectUnknown(**self._common(), effect_id=effect_id, kind=kind, party=party))

    # ---- what is expected ----------------------------------------------------------------------------------------

    def expect(
        self,
        state: str,
        *effects: tuple[str, str],
        reason: str | None = None,
        outcome: str | None = None,
        phase: str | None = None,
    ) -> "Story":
        """The state now, and exactly the effects that the last event ordered."""
        assert self.last is not None
        assert self.session.state.value == state
        assert [(effect.kind, effect.party) for effect in self.last.effects] == list(effects)
        if reason is not None:
            assert self.session.end_reason == reason
        if outcome is not None:
            assert self.last.outcome.value == outcome
        if phase is not None:
            assert self.session.phase.value == phase
        return self

    def expect_timers(self, *timers: str) -> "Story":
        assert set(self.session.timers) == {*timers, "age"}
        return self

    def expect_command(self, command_id: str, *statuses: str) -> "Story":
        assert [status for status, _ in self.reports.get(command_id, [])] == list(statuses)
        return self
