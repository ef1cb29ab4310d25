"""Synthetic conferences: calls that a worker has converted, and their callbacks, which lead to no requests."""

from collections.abc import Iterator
from itertools import count

from benchmarks.support import backlog
from benchmarks.support.children import Child
from conferral.statemachine.events import (
    ConferenceEnded,
    ConferenceEventIgnored,
    ConferenceStarted,
    Convert,
    DialEnded,
    Event,
    Hold,
    Mute,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.storage.connection.client import Client


class Conference:
    """One session in a conference: a muted agent, a customer, who is on hold if there are guests, and guests."""

    def __init__(self, number: int, parties: int = 3) -> None:
        """Bind the call.

        Args:
            number: The call's number, from which all its SIDs follow.
            parties: How many are connected.
        """
        self.number = number
        self.session_id, self._agent = backlog.call_sids(number)
        self._sid = f"CF{number:032x}"
        self._sequence = count(1)
        self._guests = [self._guest(index) for index in range(parties - 2)]
        self._next_guest = count(parties)

    def _guest(self, index: int) -> str:
        return f"CA{self.number + ((index + 2) << 64):032x}"

    def opening(self) -> Iterator[list[Event]]:
        """Return its events in groups; the worker must have decided one before the next."""
        session_id = self.session_id
        yield [*backlog.answered(self.number), Convert(session_id=session_id, token=f"convert-{self.number}")]
        moved = DialEnded(
            session_id=session_id, token=f"moved-{self.number}", party="customer", call_sid=session_id, dial="bridge",
            dial_call_status="completed", call_status="in-progress", other_side_is_live=True,
        )  # fmt: skip
        yield [moved, *(self._joined(sid) for sid in (self._agent, *self._guests)), self._started(),
               self._joined(session_id)]  # fmt: skip
        yield [self._changed(self._agent, "participant-modify"), self._changed(session_id, "participant-modify")]
        yield [Mute(session_id=session_id, token=f"mute-{self.number}", party="agent"), self.mute()]
        if self._guests:  # otherwise the agent would be alone
            yield [Hold(session_id=session_id, token=f"hold-{self.number}", party="customer"), self.hold()]

    def mix(self) -> list[Event]:
        """Return six callbacks, after which the session is as before."""
        guest = self._guest(next(self._next_guest))
        return [self._joined(guest), self._speech("start", guest), self.mute(), self._speech("stop", guest),
                self.hold(), self._left(guest)]  # fmt: skip

    def mute(self) -> Event:
        """Return a callback that says again that the agent is muted."""
        return self._changed(self._agent, "participant-mute", muted=True)

    def hold(self) -> Event:
        """Return a callback that says again that the customer is on hold."""
        return self._changed(self.session_id, "participant-hold", held=True)

    def closing(self) -> list[Event]:
        """Return the events of its end."""
        ended = ConferenceEnded(**self._source(), conference_reason="conference-ended-via-api")
        final = [backlog.progressed(self.number, party, 9, "completed") for party in ("agent", "customer")]
        return [*(self._left(sid) for sid in self._guests), ended, *final]

    def _source(self) -> dict[str, object]:
        return {
            "session_id": self.session_id, "source": self._sid, "conference_sid": self._sid,
            "sequence": next(self._sequence),
        }  # fmt: skip

    def _started(self) -> Event:
        return ConferenceStarted(**self._source())

    def _joined(self, call_sid: str) -> Event:
        return ParticipantJoined(**self._source(), call_sid=call_sid)

    def _left(self, call_sid: str) -> Event:
        return ParticipantLeft(
            **self._source(), call_sid=call_sid, call_status="completed", left_reason="participant_hung_up"
        )

    def _changed(self, call_sid: str, kind: str, **values: bool) -> Event:
        # With a third party in, no one's leaving ends the conference.
        return ParticipantChanged(
            **self._source(), call_sid=call_sid, kind=kind, end_on_exit=not self._guests, **values
        )

    def _speech(self, what: str, call_sid: str) -> Event:
        return ConferenceEventIgnored(**self._source(), kind=f"participant-speech-{what}", call_sid=call_sid)


async def open_all(client: Client, worker: Child, conferences: list[Conference]) -> None:
    """Let a worker open conferences, all together."""
    for groups in zip(*(conference.opening() for conference in conferences), strict=True):
        await backlog.store(client, [event for group in groups for event in group])
        await backlog.settled(client, worker)


def in_turn(conferences: list[Conference], events: int) -> list[Event]:
    """Return at least so many callbacks, with those of different conferences side by side."""
    found: list[Event] = []
    while len(found) < events:
        for together in zip(*(conference.mix() for conference in conferences), strict=True):
            found += together
    return found
