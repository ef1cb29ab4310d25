"""Entries of a partition's stream: one to publish, and what they hold."""

from collections.abc import Mapping
from typing import Any

import msgspec

from conferral.statemachine.events import CallProgressed
from conferral.storage.entries import Entry

SESSION = "CA" + "1" * 32


def event_in(fields: Mapping[bytes, bytes]) -> Any:
    """Return an entry's event."""
    return Entry("1-0", fields).event()


def entry_of(name: str, session_id: str, **attributes: object) -> dict[str, str]:
    """Return an entry as another program may write it, with whatever attributes."""
    event = {"session_id": session_id, **attributes}
    return {"type": name, "session": session_id, "event": msgspec.json.encode(event).decode()}


def ringing(number: int = 0, session_id: str = SESSION) -> CallProgressed:
    """Return an event that decides something, distinguished by its number."""
    return CallProgressed(
        session_id=session_id, source="CA2", sequence=number, party="agent", call_sid="CA2", status="ringing"
    )
