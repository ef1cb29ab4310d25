"""Unreadable outbox entries at a takeover: edited by hand, or too new."""

from collections.abc import Mapping

import orjson
import structlog

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.effects import EFFECTS
from conferral.statemachine.events import EffectUnknown
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.dead_letters import count_dead_letter

log = structlog.get_logger()

REASON = "outbox entry unreadable"
_KINDS = frozenset(effect.kind for effect in EFFECTS)


def decode_outbox(outbox: Mapping[str, bytes]) -> tuple[list[OutboxEntry], dict[str, bytes]]:
    """Return the readable entries, oldest first, and unreadable bodies by id."""
    entries: list[OutboxEntry] = []
    unreadable: dict[str, bytes] = {}
    for name, body in outbox.items():
        try:
            entry = effect_codec.decode(body)
        except BadEntryError:
            unreadable[name] = body
            continue
        if entry is not None:
            entries.append(entry)
    return sorted(entries, key=lambda entry: (entry.committed_at_ms, entry.place)), unreadable


async def dead_letter_unreadable(
    partition: int, store: PartitionStore, metrics: Metrics, unreadable: Mapping[str, bytes]
) -> None:
    """Dead-letter each whole body; report its effect as unknown if possible."""
    for name, body in unreadable.items():
        outcome = _unknown_outcome(name, body)
        session_id = outcome.session_id if outcome is not None else ""
        try:
            refusal = await store.dead_letter_effect(partition, name, session_id, body, REASON)
            if outcome is None:
                await store.remove_from_outbox(partition, name)
            else:
                await store.finish_effect(partition, name, outcome)
        except StoreError as error:  # the next takeover finds the entry again
            log_unreachable(error, partition=partition)
            continue
        if count_dead_letter(metrics, name, REASON, refusal):
            log.error("effect_dead_lettered", partition=partition, effect_id=name, session_id=session_id, reason=REASON)


def _unknown_outcome(effect_id: str, body: bytes) -> EffectUnknown | None:
    """Return the outcome; None if the session or the effect's kind is unclear."""
    try:
        record = orjson.loads(body)
        session_id, kind, party = record["session_id"], record["kind"], record.get("party", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    are_texts = all(isinstance(value, str) for value in (session_id, kind, party))
    if not (are_texts and session_id and kind in _KINDS):
        return None
    token = f"{effect_id}:outcome"
    return EffectUnknown(session_id=session_id, token=token, effect_id=effect_id, kind=kind, party=party)
