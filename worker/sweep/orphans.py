"""Orphaned conferences: ours, but Redis has lost their sessions. Pure.

Other programs' conferences are never touched. Ours have a name in our form, were unknown for a whole interval, and
have a participant with our label and a call of our numbers. Bridges lack such marks, and Twilio lists a call's requests
only 15 minutes after it (https://www.twilio.com/docs/voice/api/call-event-resource), so unknown ones stay unknown.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from conferral.statemachine.events import ParticipantFound
from conferral.telephony.account_lists import OwnCall
from conferral.telephony.parameters import is_label

#: A CallSid (with the visit's number), or `CS` and the hash of a command's id.
_NAME = re.compile(r"CA[0-9a-f]{32}(-[0-9]{1,2})?|CS[0-9a-f]{32}", re.ASCII)


def has_own_name(name: str) -> bool:
    """Whether the name could be the id of a session of ours."""
    return _NAME.fullmatch(name) is not None


def is_ours(participants: Sequence[ParticipantFound], own_calls: Mapping[str, OwnCall]) -> bool:
    """Whether its participants show that a conference is ours."""
    return any(participant.call_sid in own_calls and is_label(participant.label) for participant in participants)


class OrphanedConferences:
    """Tracks since when conferences are unknown, and which are foreign."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        self._foreign: set[str] = set()

    @property
    def since_ms(self) -> dict[str, int]:
        """Since when conferences are unknown, by SID, Unix milliseconds."""
        return dict(self._since_ms)

    def restore(self, since_ms: Mapping[str, int], now_ms: int) -> None:
        """Restore the previous holder's `since_ms`; Redis's clock may be set back."""
        self._since_ms = {sid: min(since, now_ms) for sid, since in since_ms.items()}

    def due(
        self, unknown: Iterable[str], now_ms: int, unknown_before_ms: int, unchecked: AbstractSet[str] = frozenset()
    ) -> list[str]:
        """Return the SIDs of conferences to check: long unknown, not foreign.

        All others are forgotten, except the `unchecked`, which can't be checked now. Times are Unix milliseconds.
        """
        waiting = {sid: since for sid, since in self._since_ms.items() if sid in unchecked}
        now_unknown = {sid: self._since_ms.get(sid, now_ms) for sid in unknown}
        self._since_ms = waiting | now_unknown
        self._foreign &= self._since_ms.keys()
        due = [sid for sid, since in now_unknown.items() if since <= unknown_before_ms and sid not in self._foreign]
        return sorted(due, key=self._since_ms.__getitem__)

    def ignore(self, conference_sid: str) -> None:
        """Mark a conference as another program's."""
        self._foreign.add(conference_sid)
