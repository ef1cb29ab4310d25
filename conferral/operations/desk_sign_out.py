"""The end of sign-ins at desks: by an operator, at the desk, or by time.

A leg of a sign-in that is over is no desk's leg: its end is a hang-up, after which no one is rung again. The session
learns that by an event.
"""

from conferral.statemachine.events import CallProgressed
from conferral.statemachine.session import Session
from conferral.statemachine.states import CallStatus
from conferral.storage.connection.client import CHUNK
from conferral.storage.partition.partition_store import append_events
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.sign_ins import SignIns


async def end_sign_ins(reader: SessionReader, identity: str, digest: str = "", *, everything: bool = False) -> int:
    """End one sign-in of an agent, or everything; return how many have ended.

    Without either, only end what sign-ins have left behind that are over. Raise StoreError.
    """
    ended = await SignIns(reader.client, reader.keys).end(identity, digest, everything=everything)
    if ended.had_phone:
        await _note_signed_out(reader, identity)
    return ended.count


async def _note_signed_out(reader: SessionReader, identity: str) -> None:
    live = await reader.live_ids()
    for start in range(0, len(live), CHUNK):
        found = await reader.read_sessions(live[start : start + CHUNK])
        events = [event for session in found.values() for event in _events_of(session, f"client:{identity}")]
        await append_events(reader.client, reader.keys, events, is_durable=True)


def _events_of(session: Session, address: str) -> list[CallProgressed]:
    legs = [party for party in session.present.values() if party.address == address and party.has_desk]
    return [
        CallProgressed(
            session_id=session.id,
            party=leg.name,
            call_sid=leg.call_sid,
            status=CallStatus.IN_PROGRESS,
            address=address,
            signed_out=True,
        )
        for leg in legs
    ]
