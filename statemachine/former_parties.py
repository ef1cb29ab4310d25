"""Pruning of parties that left a while ago; then only the log has them."""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, SUPERVISOR, TARGET, Party, Session

#: So many parties that have left stay in the session, those that came last (count).
FORMER_PARTIES_MAX = 20
#: Calls of former parties, and former conferences, whose late callbacks are recognized (count).
FORMER_CALLS_MAX = 100
FORMER_CONFERENCES_MAX = 20
#: Names that Conferral numbers. No number is used twice.
_NUMBERED = re.compile(rf"({AGENT}|{GUEST}|{SUPERVISOR}|{TARGET})-([0-9]{{1,6}})")


def next_name(session: Session, base: str, also_taken: Collection[str] = ()) -> str:
    """Return the next numbered name not taken, such as `agent-2` for `agent`."""
    highest = _highest_numbers(session.name_numbers, (*session.parties, *also_taken)).get(base, 0)
    return f"{base}-{highest + 1}"


def _highest_numbers(numbers: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Return the highest number used per base name, given or in the names."""
    found = dict(numbers)
    for base, number in filter(None, map(_split_numbered, names)):
        found[base] = max(found.get(base, 0), number)
    return found


@lru_cache(1_024)  # names are few
def _split_numbered(name: str) -> tuple[str, int] | None:
    match = _NUMBERED.fullmatch(name)
    return match and (match[1], int(match[2]))


def prune_former_parties(session: Session, before: Session) -> dict[str, Any]:
    """Return the changes that drop all but the newest of the former parties."""
    changes: dict[str, Any] = {}
    former = session.former_calls
    if session.parties is not before.parties:
        numbers = _highest_numbers(session.name_numbers, session.parties)
        if numbers != session.name_numbers:
            changes["name_numbers"] = numbers
        former_names = [name for name, party in session.parties.items() if party.is_gone]
        if old := [one for one in former_names[:-FORMER_PARTIES_MAX] if _may_be_pruned(session, session.parties[one])]:
            former += tuple(session.parties[name].call_sid for name in old if session.parties[name].call_sid)
            changes["parties"] = {name: party for name, party in session.parties.items() if name not in old}
    if former is not session.former_calls or len(former) > FORMER_CALLS_MAX:
        former = tuple(dict.fromkeys(former))[-FORMER_CALLS_MAX:]
        kept = {*former, *(party.call_sid for party in changes.get("parties", session.parties).values())}
        # SIDs of calls begin with "CA"; conferences stay.
        windows = {sid: seen for sid, seen in session.seen.windows.items() if sid in kept or not sid.startswith("CA")}
        changes |= {"former_calls": former, "seen": SeenEvents(windows, session.seen.tokens)}
    if len(session.former_conferences) > FORMER_CONFERENCES_MAX:
        changes["former_conferences"] = session.former_conferences[-FORMER_CONFERENCES_MAX:]
    return changes


def _may_be_pruned(session: Session, party: Party) -> bool:
    """Whether nothing open refers to a former party."""
    transfer = session.running_transfer
    dials = {one.dial_id for one in transfer.attempts} if transfer is not None else set()
    # A call that may or may not have been placed can still show up.
    is_open = (party.left_reason == "unknown" and not party.call_sid) or party.dial_id in dials - {""}
    is_named = any(command.party == party.name for command in session.pending_commands)
    return not (is_open or is_named or party.name in (CUSTOMER, AGENT, session.first_to_leave))
