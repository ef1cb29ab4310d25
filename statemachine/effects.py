"""What shall be done to the world: orders that the worker carries out after they were committed."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar


def effect_id(session_id: str, entry_id: str, index: int, kind: str, target: str) -> str:
    """A name for one effect, the same whenever the same entry is decided again.

    A history that was rewound decides the same ids again, so that what was done already is found instead of done twice.

    Args:
        session_id: The session's id.
        entry_id: Id of the stream entry whose decision ordered it.
        index: Position among the effects of that decision, from 0.
        kind: The effect's kind.
        target: SID it is aimed at, or another word that tells it from its siblings.
    """
    text = "\n".join((session_id, entry_id, str(index), kind, target))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What every effect carries."""

    kind: ClassVar[str] = ""
    #: Sent beside whatever else is under way for the session, and repeated until Twilio gives a definite answer.
    is_ending: ClassVar[bool] = False

    effect_id: str
    session_id: str
    #: The party concerned, empty when none is.
    party: str = ""

    @property
    def target(self) -> str:
        """What it is aimed at; part of its id."""
        return self.party


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectCall(Effect):
    """Give a live call new TwiML that joins it to the session's conference, inline, so that nothing is fetched."""

    kind: ClassVar[str] = "redirect_call"

    call_sid: str
    #: Conference SID once it is known, so that a late leg can't open a second room; else the session's id.
    room: str
    #: Participant label.
    label: str
    #: Which try to bring this leg in, from 1: its `<Dial>`'s action tells the tries apart.
    attempt: int = 1

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUpCall(Effect):
    """End one call, in whatever state it is. A call that is over already counts as done."""

    kind: ClassVar[str] = "hang_up_call"
    is_ending: ClassVar[bool] = True

    call_sid: str

    @property
    def target(self) -> str:
        """The call."""
        return self.call_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConference(Effect):
    """Complete the conference. One that is over already counts as done."""

    kind: ClassVar[str] = "end_conference"
    is_ending: ClassVar[bool] = True

    conference_sid: str

    @property
    def target(self) -> str:
        """The conference."""
        return self.conference_sid


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCalls(Effect):
    """Look at the session's calls, and at its conference; the answer is a `CallsRead` event."""

    kind: ClassVar[str] = "read_calls"

    #: The inbound caller's call, whose children are listed.
    parent_call_sid: str
    #: Whether a live conference of the session is looked for too.
    with_conference: bool
    #: The session's version when the read was ordered.
    read_version: int

    @property
    def target(self) -> str:
        """The parent call."""
        return self.parent_call_sid


#: Every kind of effect, for codecs and docs.
EFFECTS: tuple[type[Effect], ...] = (RedirectCall, HangUpCall, EndConference, ReadCalls)
