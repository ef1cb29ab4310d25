"""What counts as unknown after an error, and which outages are logged; without Redis and Twilio."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.storage.keys import Keys
from conferral.worker.assignment import renewal
from conferral.worker.assignment.renewal import LeaseRenewer
from conferral.worker.executor.execution import Execution
from conferral.worker.executor.job import Job
from conferral.worker.sweep import store as sweep_store
from conferral.worker.sweep.store import SweepStore
from tests.worker.executor_harness import START_MS, ExecutorHarness, gated, update

KEYS = Keys("test", 4)
NOTHING: Any = None


@pytest.mark.parametrize("flag", ["", "_has_been_sent", "_may_have_happened", "_sent_at_ms", "mark_may_be_lost"])
async def test_job_that_may_have_been_sent_is_unknown_after_an_internal_error(flag: str) -> None:
    effect = gated("e") if flag == "_sent_at_ms" else update("e")
    job = Job(effect=effect, partition=0, committed_at_ms=START_MS, mark_may_be_lost=flag == "mark_may_be_lost")
    execution = Execution(job, ExecutorHarness().executor._context)
    if flag.startswith("_"):
        setattr(execution, flag, True)
    outcome = execution.fail_internally("odd")
    assert type(outcome) is (EffectUnknown if flag else EffectFailed)
    assert (outcome.attempts, outcome.failed_attempts) == (0, ("odd",))


async def test_worker_that_can_not_learn_its_connection_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    renewer = LeaseRenewer(NOTHING, NOTHING, NOTHING, 5_000)
    await renewer.connect()
    assert renewer.connection == "", "a cluster"
    renewer = LeaseRenewer(NOTHING, object(), NOTHING, 5_000)
    for found, connection in (
        (("run:1", True), "run:1"),
        (StoreUnreachableError("away"), "run:1"),
        (("run:2", False), ""),
    ):
        answer = {"side_effect": found} if isinstance(found, Exception) else {"return_value": found}
        monkeypatch.setattr(renewal, "own_connection_name", AsyncMock(**answer))
        await renewer.connect()
        assert renewer.connection == connection


async def test_owners_are_asked_for_on_the_nodes_that_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_store, "grouped_by_node", lambda _client, keys: [[key] for key in keys])
    monkeypatch.setattr(sweep_store, "node_of", lambda _client, key: key[-1])
    store, asked = SweepStore(NOTHING, KEYS, Metrics()), list[str]()
    store._silent_nodes.add("1")

    async def sessions_of_calls(call_sids: Any) -> dict[str, str]:
        (call_sid,) = call_sids
        asked.append(call_sid)
        if call_sid == "CA2":
            raise StoreUnreachableError("away")
        return {call_sid: "s"}

    reader: Any = SimpleNamespace(sessions_of_calls=sessions_of_calls)
    store._reader = reader
    assert await store.session_ids_of_calls(["CA1", "CA2", "CA3"]) == {"CA3": "s"}
    assert asked == ["CA2", "CA3"]
    assert store._silent_nodes == {"1", "2"}
    monkeypatch.setattr(sweep_store, "node_of", lambda _client, _key: "")
    with pytest.raises(StoreUnreachableError):
        await store.session_ids_of_calls(["CA2"])
