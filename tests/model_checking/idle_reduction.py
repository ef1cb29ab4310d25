"""Callbacks that change nothing come first: a reduction that is checked while it is used.

A callback that changes nothing in a session now, and that would change nothing in any session that can follow either,
may be decided at once: every run in which it comes later has a twin in which it comes now, with the same places but for
the callback itself. That it changes nothing now is asked of the real machine. That it never will is not taken for
granted: whatever was decided so early is decided again in every session that is met later on the way, with the real
machine. When that changes something, such events are not decided early any more in such states, and the exploration
begins again once it has learnt of all of them: until then it has seen only runs that there are, but not all.

For that, two things have to hold. An event is decided early only at a moment at which it may be decided at all: when
nothing is left on the stream before it. And what is learnt counts from the next beginning on, so that a story leads to
the same places however much was learnt since.
"""

from dataclasses import dataclass, field, replace

from conferral.statemachine.events import Event, ParticipantChanged
from tests.model_checking.canonical_values import LONG_AGO_MS
from tests.model_checking.session_states import SessionStates

#: Most decisions that show that one event changes nothing later (count). An event that depends on its moment may need
#: millions; it is then decided in its turn, like one that changes something.
_DECISIONS_MAX = 20_000

Kind = tuple[str, str, str]
"""An event's name, and the state and the phase of a session in which it changes nothing."""


@dataclass(slots=True)
class _Met:
    """What is known of one session."""

    #: Events that were decided early in it, or before it, and where that was.
    early: dict[Event, Kind] = field(default_factory=dict)
    #: What has followed it, and after how many milliseconds.
    followers: set[tuple[int, int]] = field(default_factory=set)


class IdleReduction:
    """Says which callbacks change nothing, and watches over that."""

    def __init__(self, sessions: SessionStates, excluded: frozenset[Kind] = frozenset()) -> None:
        self._sessions = sessions
        #: Where events are not decided early because they may change something later; and where else that is so, as
        #: was learnt meanwhile.
        self.excluded = excluded
        self.learnt: frozenset[Kind] = frozenset()
        self._met: dict[int, _Met] = {}

    @property
    def was_wrong(self) -> bool:
        """Whether one was decided early that would have changed something later."""
        return bool(self.learnt)

    def takes(self, session: int, event: Event) -> bool:
        """Whether this event is decided at once because it changes nothing."""
        kind = self._kind_of(session, event)
        if kind in self.excluded or not self._changes_nothing(session, event):
            return False
        self._spread(session, event, kind)
        return True

    def follows(self, session: int, follower: int, by_ms: int = 0) -> None:
        """Takes note that one session follows another, after so many milliseconds."""
        if session == follower:
            return
        met = self._met.setdefault(session, _Met())
        if (follower, by_ms) in met.followers:
            return
        met.followers.add((follower, by_ms))
        for event, kind in list(met.early.items()):
            self._spread(follower, later(event, by_ms), kind)

    def _spread(self, session: int, event: Event, kind: Kind) -> None:
        """Decides the event in this session and in all that are known to follow it."""
        open_: list[tuple[int, Event]] = [(session, event)]
        until = self._sessions.decided + _DECISIONS_MAX
        while open_ and kind not in self.learnt:
            at, one = open_.pop()
            met = self._met.setdefault(at, _Met())
            if one in met.early:
                continue
            met.early[one] = kind
            if not self._changes_nothing(at, one) or self._sessions.decided > until:
                self.learnt |= {kind}
            open_ += [(follower, later(one, by_ms)) for follower, by_ms in met.followers]

    def _changes_nothing(self, session: int, event: Event) -> bool:
        decision = self._sessions.decide(session, event, was_taken=False, used=frozenset())
        return decision.session == session and not decision.effects and not decision.reports

    def _kind_of(self, session: int, event: Event) -> Kind:
        found = self._sessions.known[session]
        return event.name, found.state.value, found.phase.value


class NoReduction(IdleReduction):
    """Nothing is decided early."""

    def takes(self, session: int, event: Event) -> bool:
        return False


def later(event: Event, by_ms: int) -> Event:
    """The event so many milliseconds later; only of some counts when they happened."""
    if not by_ms or not isinstance(event, ParticipantChanged):
        return event
    return replace(event, occurred_at_ms=max(event.occurred_at_ms - by_ms, LONG_AGO_MS - 120_000))
