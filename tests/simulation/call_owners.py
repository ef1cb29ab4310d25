"""Whose call the first call of a dial was taken for, where a dial was placed twice."""

from collections.abc import Mapping, Sequence
from typing import Any

from conferral.storage.keys import Keys
from tests.simulation.virtual_twilio import Dialed


class CallOwners:
    """Reads all along: Redis forgets a call's owner some time after the session's end, long before a long run's end."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._mistaken: set[str] = set()

    def note(self, dialed: Mapping[str, Sequence[Dialed]], values: Mapping[bytes, Any]) -> None:
        """Notes which of the dials that were placed twice had a call that another session took for its own."""
        for dial_id, legs in dialed.items():
            if len(legs) > 1:
                owners = {values.get(self._keys.call(leg.call_sid).encode()) for leg in legs}
                if owners - {None, legs[0].session_id.encode()}:
                    self._mistaken.add(dial_id)

    def is_mistaken(self, dial_id: str) -> bool:
        """Whether that was ever seen of this dial."""
        return dial_id in self._mistaken
