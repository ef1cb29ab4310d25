"""An agent's own calls: a list of each identity.

The commit that ends a ring or a talk adds an entry.
"""

from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from typing import Annotated

import msgspec

from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.record import BaseRecord, Hidden, about
from conferral.storage.codecs.text_codec import parse_time_ms
from conferral.storage.connection.client import Client, ask, run_each
from conferral.storage.keys import Keys

#: Calls that are kept of an agent (count), and for how long.
CALLS_MAX = 200
KEPT_S = 86_400
#: For how long the end of the last one is known, seconds: longer than an offer soon after it rings.
TALKED_S = 60


class CallResult(StrEnum):
    """What became of a call that rang an agent."""

    ANSWERED = "answered"
    MISSED = "missed"
    DECLINED = "declined"
    BUSY = "busy"
    TAKEN = "taken"


class AgentCall(BaseRecord, frozen=True, omit_defaults=False):
    """A call that rang an agent, or in which the agent took part."""

    session: Annotated[str, about("the session's id")]
    at: Annotated[str, about("when it began to ring, ISO 8601, UTC")]
    customer: Annotated[Hidden[str | None], about("the customer's address")]
    number: Annotated[Hidden[str | None], about("our number that was called, or that the customer saw")]
    ref: Annotated[str | None, about("your own reference")]
    result: Annotated[
        CallResult,
        about("`busy`: it rang while the desk was in a call; `taken`: someone else took it; `missed`: no one did then"),
    ]
    talk_s: Annotated[float | None, about("how long the agent took part, in seconds; null without an answer")]
    direction: Annotated[str, about("`outbound` if the agent called; else `inbound`")] = "inbound"


class EndedCall(BaseRecord, frozen=True):
    """What a commit adds to an agent's list."""

    identity: Hidden[str]
    call: AgentCall
    #: The entry that it corrects: only a later callback says that a phone refused.
    corrected: AgentCall | None = None


def encode(call: AgentCall) -> str:
    """Return the entry of a call."""
    return msgspec.json.encode(call).decode()


_decode_call = json_decoder(AgentCall)


def _decode(entry: bytes) -> AgentCall | None:
    """Return an entry's call; None if another program wrote it."""
    try:
        return _decode_call(entry)
    except ValueError:
        return None


async def read_calls(client: Client, keys: Keys, identity: str, now_ms: int) -> list[AgentCall]:
    """Return an agent's calls of the last day, newest first."""
    entries = await ask(client, "LRANGE", keys.agent_calls(identity), 0, CALLS_MAX - 1)
    found = [call for entry in entries if (call := _decode(entry)) is not None]
    recent = [call for call in found if parse_time_ms(call.at) > now_ms - 1000 * KEPT_S]
    return sorted(recent, key=lambda call: call.at, reverse=True)


async def entries_of_all(client: Client, keys: Keys) -> AsyncIterator[tuple[str, bytes, AgentCall]]:
    """Yield all agents' entries: key, entry, and call. It scans all keys."""
    async for key in client.scan_iter(match=keys.agent_calls("*"), count=1_000):
        name = key.decode(errors="replace")
        (entries,) = await run_each(client, [("LRANGE", name, 0, -1)])
        for entry in entries or ():
            if (call := _decode(entry)) is not None:
                yield name, entry, call


async def remove_entries(client: Client, entries: Iterable[tuple[str, bytes]]) -> None:
    """Remove entries, each from its key."""
    await run_each(client, [("LREM", key, 0, entry) for key, entry in entries])
