"""Limits of dials by REST, for each call and for the whole installation.

A command makes a reservation for each of its dials before it is routed; a dial without one, right before it is sent.
A reservation is a text; the same one is never counted twice. Redis's clock alone decides what has expired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.statemachine.ids import call_of_visit, dial_reservation
from conferral.statemachine.parts import TARGETS_MAX
from conferral.storage import scripts
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys

#: By the script's answer; empty if all reservations were made.
LIMITS = ("", "minute", "session")
#: The windows of both, milliseconds.
MINUTE_MS, SESSION_MS = 60_000, 86_400_000


@dataclass(frozen=True, slots=True)
class DialLimits:
    """The limits (counts); 0 for none. Methods may raise StoreError."""

    client: Client
    keys: Keys
    per_session: int = 0
    per_minute: int = 0

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return bool(self.per_session or self.per_minute)

    async def reserve(self, session_id: str, reservations: Sequence[str], *, sent: bool = False) -> str:
        """Make reservations for dials, for good if `sent`; return the limit hit."""
        if not (reservations and self.is_set):
            return ""
        limits = (self.per_minute, MINUTE_MS, self.per_session, SESSION_MS)
        answer = await scripts.make_reservations(
            self.client, self._keys_of(session_id), [int(sent), *limits, *reservations]
        )
        return LIMITS[int(answer)]

    def reservations_of(self, session_id: str, command_id: str) -> list[tuple[str, list[str]]]:
        """Return a command's possible reservations, by the key of each limit."""
        reservations = [dial_reservation(command_id, number) for number in range(1, TARGETS_MAX + 1)]
        limits = zip(self._keys_of(session_id), (self.per_minute, self.per_session), strict=True)
        return [(key, reservations) for key, limit in limits if limit]

    def _keys_of(self, session_id: str) -> list[str]:
        return [self.keys.dials, self.keys.call_dials(call_of_visit(session_id) or session_id)]
