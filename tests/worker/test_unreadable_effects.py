"""Outbox entries that can't be read become dead letters; what stands next to them is carried out."""

from typing import Any

import orjson
import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.statemachine.effects import HangUpCall
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.worker.consumer.quarantine import UNREADABLE_REASON
from tests.worker.test_quarantine import Deadly, lives, of_team
from tests.worker.worker_cluster import WorkerCluster

SESSION = "CA" + "1" * 32


def broken(**given: Any) -> bytes:
    """An effect that lacks what its kind needs."""
    return orjson.dumps({"committed_at_ms": 1, "kind": "hang_up_call", "work": {}} | given)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[]",
        b'{"committed_at_ms": 1, "kind": "report_command"}',
        broken(kind=["hang_up_call"]),
        broken(kind="ring_the_moon"),
        broken(committed_at_ms="soon"),
        broken(work={"session_id": SESSION}),
    ],
)
@of_team
async def test_unreadable_entry_becomes_a_dead_letter_and_leaves_the_outbox(body: bytes, team: WorkerCluster) -> None:
    outbox = team.keys.outbox(0)
    good = HangUpCall(effect_id="e2", session_id="s1", call_sid="CA1")
    await team.client.hset(outbox, "e1", body)
    await team.client.hset(outbox, "e2", effect_codec.encode(OutboxEntry(good, 1)))
    work = Deadly()
    member = await lives(team, work)
    assert work.taken == ["e2"]
    assert set(await team.client.hkeys(outbox)) == {b"e2"}
    (letter,) = await DeadLetters(team.client, team.keys).newest(2)
    assert (letter.type, letter.reason, letter.entry_id) == ("effect", UNREADABLE_REASON, "e1")
    registry = member.metrics.registry
    assert registry.get_sample_value("conferral_dead_letters_total", {"reason": UNREADABLE_REASON}) == 1
