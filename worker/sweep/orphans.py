"""Conferences that are ours though no session knows them, because Redis has lost it. Pure: nothing is read here.

The account may be shared, and what is somebody else's is never touched. So a conference counts as ours only when its
name is one that we make, when it was unknown for a whole interval, and when somebody is in it under a label of ours
whose call came in at a number of ours or shows one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from conferral.statemachine.events import ParticipantFound
from conferral.telephony.account_lists import OwnCall
from conferral.telephony.parameters.participant import is_label

#: The ids that are also the names: a CallSid, or `CS` with the hash of a command's id.
_NAME = re.compile(r"C[AS][0-9a-f]{32}", re.ASCII)


def has_own_name(name: str) -> bool:
    """Whether we may have named a conference so, by the id of its session."""
    return _NAME.fullmatch(name) is not None


def is_ours(participants: Sequence[ParticipantFound], own_calls: Mapping[str, OwnCall]) -> bool:
    """Whether a conference of such a name is ours, by who is in it."""
    return any(participant.call_sid in own_calls and is_label(participant.label) for participant in participants)


class OrphanedConferences:
    """Remembers since when conferences are unknown, and which of them have turned out to be somebody else's."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        self._foreign: set[str] = set()

    @property
    def since_ms(self) -> dict[str, int]:
        """Since when conferences are unknown, by SID, Unix milliseconds."""
        return dict(self._since_ms)

    def restore(self, since_ms: Mapping[str, int], now_ms: int) -> None:
        """Takes up what whoever swept before has known.

        Args:
            since_ms: His `since_ms`.
            now_ms: Redis's time, Unix milliseconds, which may have been set back since.
        """
        self._since_ms = {sid: min(since, now_ms) for sid, since in since_ms.items()}

    def due(
        self, unknown: Iterable[str], now_ms: int, unknown_before_ms: int, unchecked: AbstractSet[str] = frozenset()
    ) -> list[str]:
        """SIDs to be looked at: unknown since before a moment, and not known to be somebody else's.

        Args:
            unknown: SIDs of all conferences that are unknown now; what is not among them is forgotten.
            now_ms: Redis's time, Unix milliseconds.
            unknown_before_ms: The moment, Unix milliseconds.
            unchecked: SIDs of those of which nobody can tell now whether they are unknown: they are not forgotten.
        """
        waiting = {sid: since for sid, since in self._since_ms.items() if sid in unchecked}
        now_unknown = {sid: self._since_ms.get(sid, now_ms) for sid in unknown}
        self._since_ms = waiting | now_unknown
        self._foreign &= self._since_ms.keys()
        due = [sid for sid, since in now_unknown.items() if since <= unknown_before_ms and sid not in self._foreign]
        return sorted(due, key=self._since_ms.__getitem__)

    def ignore(self, conference_sid: str) -> None:
        """It is somebody else's: it is not looked at again."""
        self._foreign.add(conference_sid)
