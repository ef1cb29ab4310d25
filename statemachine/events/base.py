"""Base classes of events, and the pseudo-event of automatic rows."""

from typing import ClassVar

from conferral.statemachine.record import BaseRecord, snake_case


class Event(BaseRecord, frozen=True, kw_only=True):
    """Base class of events."""

    #: The class's name in snake case. Redis holds it, so a class keeps its name.
    name: ClassVar[str] = ""
    #: Why it never changes anything, so it may be dropped under load; empty for events that may.
    ignored_because: ClassVar[str] = ""
    #: Fields that the session's log keeps; none holds an address.
    logged: ClassVar[tuple[str, ...]] = ()

    session_id: str
    #: Id of the stream entry, `MILLISECONDS-COUNT`; set by the stream's reader.
    entry_id: str = ""
    #: Identifies a duplicate of the event; empty if `sequence` does.
    token: str = ""
    #: SID of the call or conference that `sequence` counts for.
    source: str = ""
    #: Twilio's SequenceNumber: calls count from 0, conferences from 1; None where Twilio sends none.
    sequence: int | None = None
    #: When it happened according to Twilio, Unix milliseconds; 0 if unknown.
    occurred_at_ms: int = 0
    #: Generated for an event that opens a session whose id your app chose; your app can't set it.
    conference_name: str = ""

    def __init_subclass__(cls) -> None:
        cls.name = snake_case(cls.__name__)


class Automatic(Event, frozen=True):
    """Event of automatic rows: tried after every applied event, never stored.

    Source: W3C, State Chart XML, section 3.13 (eventless transitions).
    """
