"""What someone has to do about the system's health."""

from conferral.operations.health import Health, PartitionHealth
from conferral.operations.health_tasks import health_tasks
from conferral.storage.coordinator import Owner
from conferral.storage.outcome_queue import SendingState
from conferral.storage.queries.process_registry import Process
from tests.support.each import each


def process(kind: str, number: int = 1) -> Process:
    return Process(kind=kind, name=f"{kind}-{number}", version="1", seen_ms_ago=500, stats=None)


OWNER = Owner("worker-1", 1, 1)
RUNNING = (process("worker", 1), process("worker", 2), process("webhooks"))
FINE = {
    "at_ms": 1, "partitions": (), "router": OWNER, "sweep": OWNER, "processes": RUNNING, "dead": 0, "commands": 0,
    "died": (), "outcomes": SendingState("0-0", 0, 0, 0),
}  # fmt: skip
PARTITION = PartitionHealth(0, Owner("", 0, 0), undecided=0, lag=0, commit=1, live=1, outbox=0, overdue_timers=2)


@each(
    "changes, expected",
    [
        ({}, []),
        ({"processes": RUNNING[2:]}, ["bad: no worker is running"]),
        ({"processes": RUNNING[1:]}, ["warn: one worker is left"]),
        ({"processes": RUNNING[:2]}, ["bad: no webhooks process is running"]),
        ({"partitions": (PARTITION,)}, ["bad: partitions without a worker: 0", "bad: 2 timers overdue"]),
        ({"dead": 1, "outcomes_problem": "none"}, ["bad: outcomes: none", "warn: 1 dead letter"]),
        ({"outcomes": SendingState("0-0", 0, 0, 3)}, ["warn: 3 outcomes undelivered"]),
    ],
)
def test_each_problem_is_a_task_and_those_that_hurt_calls_come_first(changes, expected):
    found = [f"{kind}: {text} ({fix})" for kind, text, fix in health_tasks(Health(**FINE | changes))]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found
