"""Erase what is stored about an agent's desk (right to erasure).

Sessions are erased by their ids or numbers.
"""

import structlog

from conferral.operations.desk_sign_out import end_sign_ins
from conferral.storage.connection.client import run_or_raise
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.sign_ins import SignIns

log = structlog.get_logger()


async def count_agent(reader: SessionReader, identity: str) -> dict[str, int]:
    """Return the number of items by kind; raise StoreError."""
    sign_ins = await SignIns(reader.client, reader.keys).count(identity)
    keys = reader.keys
    has_presence, is_away, calls = await run_or_raise(
        reader.client,
        ("HEXISTS", keys.agents, identity),
        ("EXISTS", keys.agent_away(identity)),
        ("LLEN", keys.agent_calls(identity)),
    )
    listed = {"agent_calls": int(calls)} if calls else {}
    return {"sign_ins": sign_ins, "presence": int(has_presence or is_away), **listed}


async def erase_agent(reader: SessionReader, identity: str) -> dict[str, int]:
    """Erase an agent's sign-ins, unused links, presence, and list of calls.

    Return the number of items by kind; raise StoreError. A desk with a token of your server's renews its presence.
    """
    counts = await count_agent(reader, identity)
    await end_sign_ins(reader, identity, everything=True)
    keys = reader.keys
    lists = ("DEL", keys.agent_calls(identity)), ("DEL", keys.agent_away(identity))
    await run_or_raise(reader.client, ("HDEL", keys.agents, identity), *lists, is_durable=True)
    log.info("agent_forgotten", count=sum(counts.values()))
    return counts
