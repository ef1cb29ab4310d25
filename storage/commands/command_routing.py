"""Command routing on a single server: claim, look-up, append, and removal in one script."""

from enum import Enum

from conferral.statemachine.events import Event
from conferral.storage import scripts
from conferral.storage.codecs import event_codec
from conferral.storage.commands import command_stream
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import COMMAND_TTL_S, Entry


class Routed(Enum):
    """Result of routing a command."""

    #: Appended to its session's partition, and removed from the command stream.
    ROUTED = 1
    #: Another entry with the same request has the id; removed.
    REPEATED = 0
    #: Another entry with a different request has the id; removed.
    ID_REUSED = -1
    #: The session is not known under this id; nothing was done.
    NOT_FOUND = 2


async def route_at_once(client: Client, keys: Keys, entry: Entry, command_id: str, event: Event) -> Routed:
    """Route a command to the session whose own id it names."""
    session_id, fields = event.session_id, entry.text()
    names = [
        keys.command(command_id),
        keys.call(session_id),
        keys.session(session_id),
        keys.events(keys.partition_of(session_id)),
        keys.commands,
    ]
    digest, by = command_stream.digest_of(fields), command_stream.giver_of(fields)
    parts = [part for pair in event_codec.encode(event).items() for part in pair]
    arguments: list[scripts.Argument] = [entry.entry_id, session_id, digest, COMMAND_TTL_S, by, *parts]
    return Routed(int(await scripts.route_command(client, names, arguments)))
