"""Orphaned conferences: ours, but without a session, because Redis has lost it. Pure: reads nothing.

Other programs may share the account, and their conferences are never touched. A conference counts as ours only if its
name has our form, it was unknown for a whole interval, and a participant has one of our labels and a call that came in
at, or shows, one of our numbers.

A bridge has no such name or label. Twilio lists no URL for a live call, and its requests only 15 minutes after the call
(https://www.twilio.com/docs/voice/api/call-event-resource). So no session is opened for an unknown bridge.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from conferral.statemachine.events import ParticipantFound
from conferral.telephony.account_lists import OwnCall
from conferral.telephony.parameters.participant import is_label

#: Session ids that are also conference names: a CallSid, or `CS` and the hash of a command's id.
_NAME = re.compile(r"C[AS][0-9a-f]{32}", re.ASCII)


def has_own_name(name: str) -> bool:
    """Whether the name could be the id of a session of ours."""
    return _NAME.fullmatch(name) is not None


def is_ours(participants: Sequence[ParticipantFound], own_calls: Mapping[str, OwnCall]) -> bool:
    """Whether a conference with such a name is ours, judged by its participants."""
    return any(participant.call_sid in own_calls and is_label(participant.label) for participant in participants)


class OrphanedConferences:
    """Tracks since when conferences are unknown, and which of them belong to other programs."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        self._foreign: set[str] = set()

    @property
    def since_ms(self) -> dict[str, int]:
        """Since when conferences are unknown, by SID, Unix milliseconds."""
        return dict(self._since_ms)

    def restore(self, since_ms: Mapping[str, int], now_ms: int) -> None:
        """Restore the previous holder's observations.

        Args:
            since_ms: The previous holder's `since_ms`.
            now_ms: Unix milliseconds; Redis's clock may have been set back since.
        """
        self._since_ms = {sid: min(since, now_ms) for sid, since in since_ms.items()}

    def due(
        self, unknown: Iterable[str], now_ms: int, unknown_before_ms: int, unchecked: AbstractSet[str] = frozenset()
    ) -> list[str]:
        """Return the SIDs of conferences to check: unknown for long enough, and not known to be another program's.

        Args:
            unknown: SIDs of all conferences that are unknown now; others are forgotten.
            now_ms: Unix milliseconds.
            unknown_before_ms: Only conferences unknown since then are due, Unix milliseconds.
            unchecked: SIDs of conferences that can't be checked now; they are not forgotten.
        """
        waiting = {sid: since for sid, since in self._since_ms.items() if sid in unchecked}
        now_unknown = {sid: self._since_ms.get(sid, now_ms) for sid in unknown}
        self._since_ms = waiting | now_unknown
        self._foreign &= self._since_ms.keys()
        due = [sid for sid, since in now_unknown.items() if since <= unknown_before_ms and sid not in self._foreign]
        return sorted(due, key=self._since_ms.__getitem__)

    def ignore(self, conference_sid: str) -> None:
        """Mark a conference as another program's; it is not checked again."""
        self._foreign.add(conference_sid)
