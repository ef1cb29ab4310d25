"""What placing calls needs of Redis: the mark before a request that can't be looked up, turns, and whose a call is."""

from dataclasses import dataclass, field
from enum import Enum

from conferral.statemachine.effects import Effect
from conferral.statemachine.states import PartyStatus, State
from conferral.storage import scripts
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.ingest.writer import CALL_INDEX_TTL_S
from conferral.storage.keys import Keys
from conferral.storage.partition.lease import Lease

#: Longest wait of who waits for a turn before asking again, seconds. Who has not asked for twice as long is forgotten.
RETRY_MAX_S = 1.0


class MarkResult(Enum):
    """What came of a mark."""

    #: Marked by this request: it may be sent.
    MARKED = 1
    #: Nobody waits for it here: another worker owns the partition, it is done, or its session has ended.
    REFUSED = 0
    #: An earlier request marked it.
    ALREADY_MARKED = 2


@dataclass(frozen=True, slots=True)
class DialStatus:
    """What a session knows of one of its dials."""

    #: Whether somebody still waits for it: the session lives, and its party has not left nor is to leave.
    is_wanted: bool
    #: The call, when a callback has told already; else empty.
    call_sid: str = ""
    #: All calls that the session knows.
    known_calls: frozenset[str] = field(default=frozenset(), compare=False)


class DialClaims:
    """Reads and writes about the calls that are placed by REST. Each may be repeated."""

    def __init__(self, client: Client, keys: Keys, *, session_ttl_s: int) -> None:
        """Binds the client.

        Args:
            client: For commands.
            keys: Names.
            session_ttl_s: How long the calls of an ended session are remembered, seconds.
        """
        self._client = client
        self._keys = keys
        self._call_ttl_s = CALL_INDEX_TTL_S + session_ttl_s

    async def mark_sent(self, partition: int, lease: Lease, effect_id: str, now_ms: int) -> MarkResult:
        """Marks an effect in the outbox as one that may have been sent, before it is.

        Args:
            partition: Whose outbox.
            lease: Our lease of it.
            effect_id: Which effect.
            now_ms: Redis's time, Unix milliseconds.
        """
        keys = [self._keys.lease(partition), self._keys.outbox(partition)]
        with store_errors():
            return MarkResult(int(await scripts.mark_sent(self._client, keys, [lease.holder, effect_id, now_ms])))

    async def acquire_dial_permit(self, worker_name: str, per_second: float, *, urgent: bool) -> float:
        """Asks for the turn to place a call, which all workers share.

        Args:
            worker_name: Who asks; asks for one dial at a time.
            per_second: Turns a second, more than 0.
            urgent: Whether a caller waits: then it goes before those for whom nobody waits.

        Returns:
            0.0: it is this worker's turn. Else when to ask again, seconds.
        """
        arguments: list[scripts.Argument] = [worker_name, per_second, int(urgent), round(RETRY_MAX_S * 1000)]
        with store_errors():
            is_ours, wait_ms = await scripts.acquire_dial_permit(self._client, [self._keys.dial_rate], arguments)
        return 0.0 if int(is_ours) else max(1, int(wait_ms)) / 1000

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        """Notes whose call it is, if nobody has; False when it is another session's."""
        key = self._keys.call(call_sid)
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(key, session_id, nx=True, ex=self._call_ttl_s)
            pipeline.get(key)
            _, owner = await pipeline.execute()
        return owner is None or bool(owner == session_id.encode())

    async def dial_status(self, session_id: str, dial_id: str) -> DialStatus:
        """What the session knows of a dial by now."""
        with store_errors():
            record = await self._client.hgetall(self._keys.session(session_id))
        fields = decode_fields(record)
        if fields.get("state", State.ENDED) == State.ENDED:
            return DialStatus(is_wanted=False)
        of_parties = (
            value for name, value in fields.items() if name.startswith("party.") and name.endswith(".call_sid")
        )
        known = frozenset((*of_parties, *fields.get("former_calls", "").split())) - {""}
        for name, value in fields.items():
            if name.startswith("party.") and name.endswith(".dial_id") and value == dial_id:
                party = name.removesuffix("dial_id")
                is_gone = fields.get(f"{party}status") == PartyStatus.LEFT or fields.get(f"{party}is_leaving") == "true"
                return DialStatus(not is_gone, fields.get(f"{party}call_sid", ""), known)
        return DialStatus(is_wanted=False, known_calls=known)

    async def has_ended(self, session_id: str) -> bool:
        """Whether a session has ended, or is forgotten already."""
        with store_errors():
            state = await self._client.hget(self._keys.session(session_id), "state")
        return state is None or bool(state == State.ENDED.value.encode())

    async def append_job(self, partition: int, effect: Effect, now_ms: int) -> None:
        """Puts an effect into the outbox without a commit: one that follows from no event.

        Args:
            partition: Whose outbox.
            effect: What shall be done, also by a successor.
            now_ms: Redis's time, Unix milliseconds.
        """
        body = effect_codec.encode(effect_codec.OutboxEntry(effect, now_ms))
        with store_errors():
            await self._client.hsetnx(self._keys.outbox(partition), effect.effect_id, body)
