"""Recovery of a lost session: its live conference and participants."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from twilio.rest import Client

from conferral.statemachine.events import ParticipantFound
from conferral.telephony.account_lists import AccountListReader, OwnCall
from conferral.telephony.addresses import number_or_address, own_number_in
from conferral.telephony.conference_lists import LIVE_CONFERENCE_STATUSES, live_conferences
from conferral.telephony.http_client import label_requests
from conferral.telephony.rest_requests import if_found, send, text_of
from conferral.telephony.twilio_queries import CALLS_READ_MAX


@dataclass(frozen=True, slots=True)
class LostConference:
    """A conference, as Twilio shows it."""

    conference_sid: str
    name: str
    #: Whether it has started; otherwise a party waits in it.
    has_started: bool
    participants: tuple[ParticipantFound, ...]


class LostConferences:
    """Finds a session's conference; its methods raise only `ProviderError`."""

    def __init__(self, client: Client, reader: AccountListReader, own_numbers: Callable[[], Collection[str]]) -> None:
        self._client = client
        self._reader = reader
        self._own_numbers = own_numbers

    async def by_sid(self, conference_sid: str) -> LostConference | None:
        """Return a conference by its SID; None if it is over."""
        with label_requests("lost_session"):
            record = await if_found(send(self._client.conferences(conference_sid).fetch_async()))
            return await self._read(record)

    async def by_name(self, name: str) -> LostConference | None:
        """Return the newest listed live conference of a name; None for none."""
        with label_requests("lost_session"):
            records = await live_conferences(self._client, name)
            return await self._read(next(iter(records), None))

    async def _read(self, record: Any) -> LostConference | None:
        """Read participants and their addresses; None if it is not live."""
        if record is None or record.status not in LIVE_CONFERENCE_STATUSES:
            return None
        found = await self._reader.participants_of(text_of(record.sid), {})
        own_numbers = self._own_numbers()
        calls: dict[str, OwnCall] = {}
        # Sequentially, because no call depends on this and other requests come first.
        for participant in found[:CALLS_READ_MAX]:
            call = await if_found(send(self._client.calls(participant.call_sid).fetch_async()))
            if call is None:
                continue
            caller, called = text_of(call._from), text_of(call.to)  # noqa: SLF001  # the library's public name of `from`
            came_in = text_of(call.direction).startswith("inbound")
            own_number = own_number_in(called, own_numbers) or own_number_in(caller, own_numbers)
            address = number_or_address(caller, own_number) if came_in else called
            calls[participant.call_sid] = OwnCall(address, came_in=came_in)
        participants = [
            replace(one, address=call.address, came_in=call.came_in) if (call := calls.get(one.call_sid)) else one
            for one in found
        ]
        has_started = record.status == "in-progress"
        return LostConference(text_of(record.sid), text_of(record.friendly_name), has_started, tuple(participants))
