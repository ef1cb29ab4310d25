"""When Twilio is asked: what is unsettled, and how often it is read.

Callbacks get lost, and requests have unknown results. Only a read of Twilio's API then shows what became of a thing. A
row is `in, phase, name, what, due, again, why`: in this state or stage, and this phase, the guard `what` yields what
something should have settled. The session stores it by the row's name. In a live session, nothing else emits `ReadCalls`. (`FindCall` searches for one dial.)

- *Since*: the session keeps, for each, when it was first yielded (`Session.unsettled_since_ms`), and forgets what is no
  longer yielded. What is yielded begins with the party if it is about one, and contains what was last requested of it:
  a request for something else begins a new wait, and a repeated one continues the old one. A suspicion's time is when
  it is to be read first, which may lie ahead.
- *Due*: the first read is due so long after that: about as long as the callback takes, or as a list of Twilio's may lag.
  Then, after each of the pauses in `again`, and at last every `reread_interval_ms`. `ALONE` is for things that someone
  who is alone, or hears nothing, may wait for; `OVERHEARD` for a held party who may hear a consult.
- *Asked*: a due time counts as asked if a read began then or later that had an answer, or failed. A read that is older
  than a fact about a leg with something unsettled, or had no room for all calls, has not asked: if something was due,
  another read follows at once.
- *One read at a time*, of everything; its answer settles what it can. One without an answer for `read_timeout_ms` counts
  as lost (10 min while only a loss of Redis is unsettled: no one waits for these reads, and all live sessions have
  one), and only a suspicion replaces one that is open. It is raised, for example, by a redirect that was refused or
  whose result is unknown, a finding of the sweep, an overdue command, and a time limit that needs proof, as those of a
  bridge and a dial do. It is about each leg, and ends with a read that began later than what is known of that leg.
- *One timer*: `ReadOverdue` is set exactly while something is unsettled, and only wakes the automatic rows. Of these,
  the last emits the read. The limits of stages have timers of their own: they decide, and don't ask.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from conferral.statemachine import guards as when
from conferral.statemachine.events import Event
from conferral.statemachine.guards.unsettled import read_is_open
from conferral.statemachine.states import State, UnsettledName
from conferral.statemachine.step import Draft
from conferral.statemachine.table.row import *

N = UnsettledName
#: Pauses between reads after the first, in units of `read_pause_ms`.
ALONE = (1, 1, 1, 2, 4)
OTHERS = (2, 4)
OVERHEARD = (1,) * 10
#: Due as soon as it is yielded.
AT_ONCE = ""


class Unsettled(NamedTuple):
    """What a read of Twilio may settle, and when it is due."""

    source: frozenset[State]
    phases: Phases | None
    #: As the session stores it: another name loses what stored sessions have.
    name: UnsettledName
    what: Callable[[Draft], Iterable[str]]
    #: Name of a timeout in `Policy`.
    due: str
    again: tuple[int, ...]
    why: str


# fmt: off
UNSETTLED: tuple[Unsettled, ...] = (
    #         in    phase      name                    what                       due                      again
    Unsettled(LIVE, ANY,       N.SUSPICION,            when.suspicions,           AT_ONCE,                 OTHERS,
              "a redirect was refused or is unknown, a command is overdue, or the sweep found a difference"),
    Unsettled(LIVE, ANY,       N.LOSS,                 when.losses,               AT_ONCE,                 OTHERS,
              "Redis may have lost what the session had decided"),
    Unsettled(LIVE, ANY,       N.CALL_LEFT_OUT,        when.calls_left_out,       AT_ONCE,                 OTHERS,
              "the last read had no room for these calls"),
    Unsettled(LIVE, ANY,       N.LINGERING_PARTY,      when.lingering_parties,    "leave_timeout_ms",      ALONE,
              "the callbacks of a party's end are lost, or Twilio has not hung it up"),
    Unsettled(LIVE, ANY,       N.OLD_SESSION,          when.session_too_old,      AT_ONCE,                 OTHERS,
              "Twilio ends each call after at most 24 h, but parties who came later may still talk"),

    # The conversion. The child is moved first, and the action of its parent's `<Dial>` follows.
    Unsettled(V,    ANY,       N.LEG_OUTSIDE,          when.legs_outside,         "convert_timeout_ms",    ALONE,
              "a leg has not moved, or the callback of its join is lost"),
    Unsettled(V,    ANY,       N.PARENT_WITHOUT_CHILD, when.parent_without_child, "leave_timeout_ms",      ALONE,
              "the parent has hung up, too, or is on its way"),

    # The conference
    Unsettled(C|T,  ANY,       N.ABSENT_PARTY,         when.absent_party,         "arrive_timeout_ms",     ALONE,
              "a caller who waits or is transferred has not joined, or the callback of the join is lost"),
    Unsettled(C|T,  ANY,       N.OPEN_UPDATE,          when.open_updates,         "confirm_ms",            ALONE,
              "nothing shows a hold, mute, or flag yet: its response or callback is lost, or Twilio has not done it"),
    Unsettled(C|T,  ANY,       N.UNDONE_HOLD,          when.undone_holds,         "confirm_ms",            OVERHEARD,
              "a request with `Hold=false` has no answer: Twilio may carry it out later, and the callback be lost"),
    Unsettled(C|T,  ANY,       N.UNPROVEN_ANSWER,      when.unproven_answers,     "confirm_ms",            ALONE,
              "the callback of an answer is lost: a join with early media proves none"),
    Unsettled(C|T,  ANY,       N.UNSEEN_ARRIVAL,       when.unseen_arrivals,      "confirm_ms",            ALONE,
              "the conference has started, and the callback of the join is lost: a customer may be alone, in silence"),
    Unsettled(C|T,  ANY,       N.RINGING_DIAL,         when.ringing_dials,        "ring_read_ms",          OTHERS,
              "the callback of a failure or an answer is lost, and the caller hears ringing"),
    Unsettled(C,    ANY,       N.UNCERTAIN_LONELINESS, when.uncertain_loneliness, AT_ONCE,                 ALONE,
              "a party seems to be alone, but a callback is missing: another may be there"),
    Unsettled(C|T,  ANY,       N.MISSING_LEG,          when.missing_legs,         "legs_show_ms",          OTHERS,
              "after an outage of Redis, an agent or a customer misses someone who may have been rung"),
    Unsettled(T,    VOICEMAIL, N.MESSAGE_TO_COME,      when.message_to_come,      "voicemail_timeout_ms",  OTHERS,
              "the callbacks of a message are lost"),
)
# fmt: on


def read_is_due(draft: Draft, _event: Event) -> bool:
    """Whether something unsettled is due, and no read is open."""
    return not read_is_open(draft) and any(due_ms <= draft.now_ms for _, _, due_ms in unsettled(draft))


def unsettled(draft: Draft) -> Iterator[tuple[str, int, int]]:
    """Yield what is unsettled: its key, since when, and when it is read next."""
    session = draft.session
    for row in UNSETTLED:
        if session.state not in row.source or (row.phases and session.phase not in row.phases):
            continue
        for key in map(row.name.key, row.what(draft)):
            since_ms = session.unsettled_since_ms.get(key, draft.now_ms)
            yield key, since_ms, _next_ms(draft, row, since_ms)


def _next_ms(draft: Draft, row: Unsettled, since_ms: int) -> int:
    """Return the first due time that is later than the last read."""
    asked_ms, at_ms = draft.session.asked_ms, since_ms + (getattr(draft.policy, row.due) if row.due else 0)
    for pauses in row.again:
        if at_ms > asked_ms:
            return at_ms
        at_ms += pauses * draft.policy.read_pause_ms
    interval_ms = draft.policy.reread_interval_ms
    return at_ms + interval_ms * max(0, (asked_ms - at_ms) // interval_ms + 1)
