"""What every event carries, and the one that is none of the world."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries."""

    name: ClassVar[str] = ""
    #: Why it changes nothing, whatever the session: it may be left out under load. Empty where it may decide.
    ignored_because: ClassVar[str] = ""

    #: The session's id.
    session_id: str
    #: Id of the stream entry that brought it, `MILLISECONDS-COUNT`; set by whoever reads the stream.
    entry_id: str = ""
    #: Names this very event, so that a repetition is recognised; empty when `sequence` does.
    token: str = ""
    #: SID of the call or conference that counts `sequence`.
    source: str = ""
    #: Twilio's SequenceNumber: calls count from 0, conferences from 1; None where Twilio sends none.
    sequence: int | None = None
    #: When it happened by Twilio's account, Unix milliseconds; 0 when not told.
    occurred_at_ms: int = 0
    #: If it opens a session whose id someone chose: the conference's name. No one who chooses the id can give it.
    conference_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic(Event):
    """Stands in the table for "as soon as this holds": asked after every event that was taken, never stored.

    Source: W3C, State Chart XML, section 3.13 (eventless transitions).
    """

    name: ClassVar[str] = "always"
