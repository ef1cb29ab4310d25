"""Pruning of parties that left a while ago; then only the log has them."""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, SUPERVISOR, TARGET, Party, Session

#: A party is pruned once this many others have left after it (count).
LATER_DEPARTURES_MAX = 20
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
    """Return the changes that number departures and drop old parties."""
    changes: dict[str, Any] = {}
    former = session.former_calls
    if session.parties is not before.parties:
        parties, departures = _number_departures(session)
        numbers = _highest_numbers(session.name_numbers, parties)
        if numbers != session.name_numbers:
            changes["name_numbers"] = numbers
        if departures > LATER_DEPARTURES_MAX and (
            gone := {name for name, party in parties.items() if _may_be_pruned(session, party, departures)}
        ):
            former += tuple(parties[name].call_sid for name in parties if name in gone and parties[name].call_sid)
            parties = {name: party for name, party in parties.items() if name not in gone}
        if parties is not session.parties:
            changes |= {"parties": parties, "departures": departures}
    if former is not session.former_calls or len(former) > FORMER_CALLS_MAX:
        former = tuple(dict.fromkeys(former))[-FORMER_CALLS_MAX:]
        kept = {*former, *(party.call_sid for party in changes.get("parties", session.parties).values())}
        # SIDs of calls begin with "CA"; conferences stay.
        windows = {sid: seen for sid, seen in session.seen.windows.items() if sid in kept or not sid.startswith("CA")}
        changes |= {"former_calls": former, "seen": SeenEvents(windows, session.seen.tokens)}
    if len(session.former_conferences) > FORMER_CONFERENCES_MAX:
        changes["former_conferences"] = session.former_conferences[-FORMER_CONFERENCES_MAX:]
    return changes


def _number_departures(session: Session) -> tuple[Mapping[str, Party], int]:
    """Return the parties, numbered as they left, and the count of departures."""
    changed, departures = {}, session.departures
    for name, party in session.parties.items():
        if party.is_gone and not party.departure_number:
            departures += 1
            changed[name] = replace(party, departure_number=departures)
        elif party.departure_number and not party.is_gone:
            changed[name] = replace(party, departure_number=0)
    return ({**session.parties, **changed} if changed else session.parties), departures


def _may_be_pruned(session: Session, party: Party, departures: int) -> bool:
    """Whether a party left long ago, and nothing open refers to it."""
    if not party.departure_number or departures - party.departure_number < LATER_DEPARTURES_MAX:
        return False
    transfer = session.running_transfer
    dials = {one.dial_id for one in transfer.attempts} if transfer is not None else set()
    # A call that may or may not have been placed can still show up.
    is_open = (party.left_reason == "unknown" and not party.call_sid) or party.dial_id in dials - {""}
    is_named = any(command.party == party.name for command in session.pending_commands)
    return not (is_open or is_named or party.name in (CUSTOMER, AGENT, session.first_to_leave))
