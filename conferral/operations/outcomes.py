"""Outcomes as other systems get them: typed, over HTTP and from the API."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from conferral.operations.errors import CommandNotDoneError
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.storage.codecs.text_codec import parse_rows, parse_texts
from conferral.storage.connection.client import CHUNK, ask, server_time_ms
from conferral.storage.outcome_queue import OutcomeQueue, SendingState
from conferral.storage.partition.partition_store import parse_entry_id

#: What a header can hold. Our ids have this form, other programs' may not.
_HEADER_VALUE = re.compile(r"[!-~]{1,256}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


def _number_of(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None  # another program's entry
    return float(text) if "." in text else int(text)


#: The fields of an entry that are no texts, and how each is read.
_TYPED: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        (
            "hold_s", "consult_s", "answer_s", "bridged_s", "conference_s", "participant_s", "held_s", "alone_s",
            "duration_s",
        ),
        _number_of,
    ),
    "attempts": parse_rows,
    "recordings": lambda text: [*parse_texts(text)],
}  # fmt: skip


def outcome_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return an outcome's `data`: a stream entry's fields, typed.

    Seconds are numbers, `attempts` and `recordings` lists, the rest texts. An empty field is None.

    >>> outcome_data({"kind": "voicemail", "duration_s": "12.5", "mode": "", "recordings": '["RE1"]'})
    {'kind': 'voicemail', 'duration_s': 12.5, 'mode': None, 'recordings': ['RE1']}
    """
    return {name: _TYPED.get(name, str)(text) if text else None for name, text in fields.items()}


def outcome_message(entry_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """Return an outcome's id and its JSON, as sent to other systems.

    Source: Standard Webhooks, "Payload structure".
    """
    data, name = outcome_data(fields), fields.get("id", "")
    kind = f"{fields.get('kind', '')}.{fields.get('result', '')}"
    body = orjson.dumps({"type": kind, "timestamp": data.get("ended_at"), "data": data}).decode()
    return (name if _HEADER_VALUE.fullmatch(name) else entry_id), body


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """How outcomes are being delivered."""

    state: SendingState
    #: Sessions with outcomes to send (count).
    waiting: int
    undelivered: int


class OutcomeDelivery:
    """Shows and repeats what is sent over HTTP; may raise StoreError."""

    def __init__(self, reader: SessionQueries) -> None:
        self._client = reader.client
        self._keys = reader.keys
        self._queue = OutcomeQueue(reader.client, reader.keys)

    async def status(self) -> DeliveryStatus:
        """Return how outcomes are being delivered."""
        return DeliveryStatus(await self._queue.read_state(), *await self._queue.counts())

    async def undelivered(self, count: int) -> list[tuple[str, Fields]]:
        """Return the newest undelivered outcomes, with their entries' ids."""
        return await self._queue.undelivered(count)

    async def resend_since(self, start_ms: int) -> int:
        """Send all outcomes since a time again (Unix ms); return their count.

        Those that were never sent are not counted: they will be. Raises CommandNotDoneError if none can be sent.
        """
        position, count = (await self._queue.read_state()).position, 0
        if not position:
            raise CommandNotDoneError("no worker has CONFERRAL_OUTCOMES_URL: set it, then restart the workers")
        after, now_ms = f"{start_ms}-0", await server_time_ms(self._client, self._keys.sending)
        while parse_entry_id(after) <= parse_entry_id(position):
            found = await ask(self._client, "XRANGE", self._keys.outcomes, after, position, "COUNT", CHUNK)
            if not found:
                break
            await self._queue.resend(found, now_ms)
            count += len(found)
            milliseconds, number = parse_entry_id(found[-1][0].decode())
            after = f"{milliseconds}-{number + 1}"
        await self._queue.resume()
        return count

    async def resend_undelivered(self, ids: Collection[str] | None = None) -> int:
        """Send undelivered outcomes again, by default all; return their count."""
        found = await ask(self._client, "ZRANGE", self._keys.undelivered, 0, -1)
        chosen = [one.decode() for one in found if ids is None or one.decode() in ids]
        now_ms, count = await server_time_ms(self._client, self._keys.sending), 0
        for one in sorted(chosen, key=parse_entry_id):
            if entry := await ask(self._client, "XRANGE", self._keys.outcomes, one, one):
                await self._queue.resend(entry, now_ms)
                count += 1
        return count
