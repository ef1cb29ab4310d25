"""All sessions that were met, each once, and what was decided in them: asked again, the answer is known.

What has no effect is taken off a session before it is kept, so that histories that lead to the same place meet there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter

from conferral.statemachine.effects import CreateCall, CreateParticipant, Dial, Effect, ReadCalls
from conferral.statemachine.events import Event
from conferral.statemachine.guards.waiting_party import may_be_back
from conferral.statemachine.machine import step
from conferral.statemachine.parts import SeenEvents
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Party, Session
from conferral.statemachine.step import CommandReport, DecisionKind, Step
from conferral.storage.codecs import session_codec
from tests.model_checking.canonical_values import (
    FRESH,
    LONG_AGO_MS,
    NOW_MS,
    VERIFIED,
    VERSION,
    digest,
    flat,
    merely,
    renamed,
    session_earlier,
    session_renamed,
    since,
)
from tests.support.flat_sessions import in_bytes

#: A moment long past the end of every run.
AGE_MS = NOW_MS + 86_400_000
#: What is unsettled for longer is read every ten seconds, even a voicemail.
LONG_UNSETTLED_MS = NOW_MS - 240_000
#: What an entry is called until it is known which names its effects are to have.
_ENTRY = "entry"
_NOT_COUNTING = {"version", "seen", "attempts", "updated_at_ms", "refused_transfer", "refused_transfer_at_ms"}
_counting = attrgetter(*(field.name for field in fields(Session) if field.name not in _NOT_COUNTING))


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event has led to."""

    #: Which session it is afterwards.
    session: int
    outcome: DecisionKind
    reason: str
    effects: tuple[Effect, ...]
    reports: tuple[CommandReport, ...]
    #: Whether it has ended by this.
    ends: bool
    #: Whether a read that was requested before shows something older than all that is known.
    replaces_reads: bool


class SessionStates:
    """Sessions by number."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.known: list[Session] = []
        #: How many dials each has ordered (count): the next one is called by it.
        self._dials: list[int] = []
        self._numbers: dict[bytes, int] = {}
        self._decisions: dict[tuple[int, Event, bool], Decision | Step] = {}
        self._named: dict[tuple[int, Event, frozenset[str]], Decision] = {}
        self._later: dict[tuple[int, int], int] = {}
        self._facts: dict[int, Session | None] = {}
        #: Events that were decided afresh (count).
        self.decided = 0

    def number_of(self, session: Session, dials: int = 0, *, requests_read: bool = False) -> int:
        """The number of a session, whatever of it decides nothing."""
        usual = normal(session, counts_holds=self.policy.hold_limit_ms > 0, requests_read=requests_read)
        key = digest((flat(usual), dials))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.known)
            self.known.append(usual)
            self._dials.append(dials)
        return number

    def facts(self, number: int) -> Session | None:
        """What webhooks read of it, by way of the stored record."""
        if number not in self._facts:
            session = self.known[number]
            record = in_bytes(session_codec.encode(session)) if session.version else {}
            self._facts[number] = session_codec.load(session.id, record) if record else None
        return self._facts[number]

    def later(self, number: int, by_ms: int) -> int:
        """The same session after so many milliseconds."""
        key = number, by_ms
        if key not in self._later:
            moved = session_earlier(self.known[number], by_ms)
            self._later[key] = self.number_of(moved, self._dials[number])
        return self._later[key]

    def earlier(self, number: int, lost: int) -> int:
        """An earlier session, after which another one was lost; a new dial has no name of one that was lost."""
        return self.number_of(self.known[number], self._dials[lost])

    def decide(self, number: int, event: Event, *, was_taken: bool, used: frozenset[str]) -> Decision:
        """Decides an event now.

        Args:
            number: Which session.
            event: What happened.
            was_taken: It was decided before: this is its repetition.
            used: Names of effects that are still spoken of outside of the session.
        """
        key = number, event, was_taken
        found = self._decisions.get(key)
        if found is None:
            found = self._decisions[key] = self.decide_uncached(number, event, was_taken)
        if isinstance(found, Decision):
            return found
        named = number, event, used
        decision = self._named.get(named)
        if decision is None:
            decision = self._named[named] = self._with_names(number, found, used)
        return decision

    def decide_uncached(self, number: int, event: Event, was_taken: bool) -> "Decision | Step":
        """A decision; where something is ordered, the bare step: what that is called depends on what is under way."""
        self.decided += 1
        before = self.known[number]
        given = (
            replace(before, seen=before.seen.with_event(event.source, event.sequence, event.token))
            if was_taken
            else before
        )
        taken = step(given, replace(event, entry_id=_ENTRY), NOW_MS, self.policy)
        if taken.effects:
            return taken
        is_same = not taken.reports and _is_same(before, taken.session)
        after = number if is_same else self.number_of(taken.session, self._dials[number])
        return _decision(before, taken, after, ())

    def _with_names(self, number: int, taken: Step, used: frozenset[str]) -> Decision:
        before, dials = self.known[number], self._dials[number]
        names = _names(before, taken.effects, used, dials)
        effects = tuple(_fresh(renamed(effect, names)) for effect in taken.effects)
        after = self.number_of(
            session_renamed(taken.session, names),
            dials + sum(isinstance(effect, Dial) for effect in effects),
            requests_read=any(isinstance(effect, ReadCalls) for effect in effects),
        )
        return _decision(before, taken, after, effects)


def _decision(before: Session, taken: Step, after: int, effects: tuple[Effect, ...]) -> Decision:
    return Decision(
        session=after,
        outcome=taken.kind,
        reason=taken.reason,
        effects=effects,
        reports=taken.reports,
        ends=taken.session.ended_at_ms > 0 and not before.ended_at_ms,
        replaces_reads=taken.session.is_ended
        or (bool(before.open_read_id) and taken.session.open_read_id not in ("", before.open_read_id)),
    )


def _is_same(before: Session, after: Session) -> bool:
    """Whether nothing has changed but what has no effect; a quick answer where the machine has passed it over."""
    pairs = zip(_counting(before), _counting(after), strict=True)
    return all(one is other for one, other in pairs)


def _names(before: Session, effects: Iterable[Effect], used: frozenset[str], dials: int) -> dict[str, str]:
    """What new effects are called: a dial by its count, which stays for good, everything else by what is free."""
    names: dict[str, str] = {}
    taken = used | set(_referred(before))
    for effect in effects:
        if isinstance(effect, CreateCall | CreateParticipant):
            dials += 1
            names[effect.effect_id] = f"dial-{dials}"
            continue
        count = 1
        while f"{effect.kind}-{count}" in taken:
            count += 1
        names[effect.effect_id] = f"{effect.kind}-{count}"
        taken |= {f"{effect.kind}-{count}"}
    return names


def _referred(session: Session) -> Iterable[str]:
    """Names of effects that a session waits for."""
    yield from (*session.open_redirects, session.open_read_id)
    for party in session.parties.values():
        yield party.update_effect_id
    for order in session.pending_commands:
        yield from order.effects
    if session.recording is not None:
        yield session.recording.update_effect_id


def _fresh(effect: Effect) -> Effect:
    """A read that was just requested is as new as the facts."""
    return replace(effect, read_version=FRESH) if isinstance(effect, ReadCalls) else effect


# ---- what of a session counts ------------------------------------------------------------------------------------


def normal(session: Session, *, counts_holds: bool, requests_read: bool = False) -> Session:
    """The session without what has no effect: counters that only show how long it has run, old moments.

    With `counts_holds`, it matters since when someone is held. With `requests_read`, it has just requested its read.
    """
    transfer = session.transfer
    read_version = FRESH if session.open_read_id and not requests_read else session.version
    if transfer is not None:
        attempts = tuple(
            replace(
                one,
                started_at_ms=merely(one.started_at_ms),
                answered_at_ms=merely(one.answered_at_ms),
                ended_at_ms=merely(one.ended_at_ms),
            )
            for one in transfer.attempts
        )
        transfer = replace(
            transfer,
            started_at_ms=merely(transfer.started_at_ms),
            attempts=attempts,
        )
    return replace(
        session,
        version=VERSION if session.version else 0,
        verified_version=VERIFIED,
        created_at_ms=merely(session.created_at_ms),
        ended_at_ms=merely(session.ended_at_ms),
        # Only the sweep asks for it, to leave alone what has just changed; here it comes late enough by itself.
        updated_at_ms=LONG_AGO_MS if session.updated_at_ms else 0,
        open_read_since_ms=since(session.open_read_since_ms),
        # Of all slots since then, at least one is due by now, or the first is still to come.
        asked_ms=session.asked_ms and max(session.asked_ms, NOW_MS - 20_000),
        unsettled_since_ms={
            key: _since_in_rhythm(session.unsettled_since_ms[key]) for key in sorted(session.unsettled_since_ms)
        },
        lone_until_ms=_due(session.lone_until_ms),
        lost_at_ms=session.lost_at_ms and max(session.lost_at_ms, NOW_MS - 60_000),
        state_since_ms=merely(session.state_since_ms),
        moved_at_ms=session.moved_at_ms and max(session.moved_at_ms, NOW_MS - 60_000),
        timers=_timers(session.timers),
        parties={
            name: replace(_normal_party(party, counts_holds), known_version=_known(session, party, read_version))
            for name, party in session.parties.items()
        },
        pending_commands=tuple(replace(one, due_ms=_due(one.due_ms)) for one in session.pending_commands),
        transfer=transfer,
        attempts=(),
        seen=SeenEvents(),
        refused_transfer="",
        refused_transfer_at_ms=0,
    )


def _known(session: Session, party: Party, read_version: int) -> int:
    """How new what is known of a leg is, compared with the open read, and with the last one that was answered."""
    if party.known_version > read_version and not session.is_ended:
        return FRESH + 1
    is_unverified = may_be_back(party) and party.known_version > session.verified_version
    return VERIFIED + 1 if is_unverified or session.is_ended else VERIFIED - 1


def _timers(timers: Mapping[str, int]) -> dict[str, int]:
    """By name: they are found by it, and when two are due at once either may come first."""
    return {name: AGE_MS if name == "age" else _due(timers[name]) for name in sorted(timers)}


def _normal_party(party: Party, counts_holds: bool) -> Party:
    return replace(
        party,
        answered_at_ms=merely(party.answered_at_ms),
        since_ms=(since if counts_holds and party.held else merely)(party.since_ms),
        status_since_ms=merely(party.status_since_ms),
        dialed_at_ms=since(party.dialed_at_ms),
        dial_check_at_ms=_due(party.dial_check_at_ms),
        pending_since_ms=since(party.pending_since_ms),
        late_unhold_ms=since(party.late_unhold_ms),
        repair_moved_at_ms=party.repair_moved_at_ms and max(party.repair_moved_at_ms, NOW_MS - 60_000),
        unproven_redirect_at_ms=party.unproven_redirect_at_ms and max(party.unproven_redirect_at_ms, NOW_MS - 60_000),
    )


def _since_in_rhythm(since_ms: int) -> int:
    """A since-time that leads to the same: at last, a read is due every ten seconds."""
    return since_ms if since_ms > LONG_UNSETTLED_MS else LONG_UNSETTLED_MS - (LONG_UNSETTLED_MS - since_ms) % 10_000


def _due(moment_ms: int) -> int:
    """When something is due; how long it is overdue does not matter."""
    return max(moment_ms, NOW_MS) if moment_ms else 0
