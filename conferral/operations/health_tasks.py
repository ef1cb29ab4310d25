"""What someone has to do about the system's health, in sentences."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from conferral.operations.health import Health


class HealthTask(NamedTuple):
    """One problem, and what to do about it."""

    #: `bad`: calls suffer now. `warn`: they will if something else fails.
    kind: Literal["bad", "warn"]
    text: str
    fix: str = ""


def health_tasks(health: Health) -> list[HealthTask]:
    """Return what someone has to do, the most urgent first."""
    return sorted([*_of_processes(health), *_of_data(health)], key=lambda task: task.kind)


def _of_processes(health: Health) -> Iterator[HealthTask]:
    workers = sum(one.kind == "worker" for one in health.processes)
    if not workers:
        yield HealthTask("bad", "no worker is running: calls go on, but nothing is decided", "start conferral worker")
    elif workers == 1:
        yield HealthTask("warn", "one worker is left: no other would take over its calls", "start another one")
    if not any(one.kind == "webhooks" for one in health.processes):
        yield HealthTask("bad", "no webhooks process is running: new calls fail", "start conferral webhooks")
    if workers:
        if health.unassigned:
            numbers = ", ".join(map(str, health.unassigned))
            yield HealthTask("bad", f"partitions without a worker: {numbers}", "read the workers' logs")
        if not health.router.name:
            yield HealthTask("bad", "no worker routes commands", "read the workers' logs")
        if not health.sweep.name:
            yield HealthTask(
                "bad", "no worker runs the sweep, so lost callbacks go undetected", "read the workers' logs"
            )
    for one in health.died:
        seen_s = one.seen_ms_ago // 1000
        yield HealthTask("warn", f"{one.kind} {one.name} died: last seen {seen_s} s ago", "see why, and start it again")


def _of_data(health: Health) -> Iterator[HealthTask]:
    overdue, outcomes = sum(one.overdue_timers for one in health.partitions), health.outcomes
    if overdue:
        yield HealthTask("bad", f"{_counted(overdue, 'timer')} overdue", "see which calls need attention")
    if health.outcomes_problem:
        yield HealthTask("bad", f"outcomes: {health.outcomes_problem}", "repair the receiver")
    if outcomes.undelivered:
        text = f"{_counted(outcomes.undelivered, 'outcome')} undelivered"
        yield HealthTask("warn", text, "send again under Dead letters")
    if health.dead:
        yield HealthTask("warn", f"{_counted(health.dead, 'dead letter')}", "retry or delete them under Dead letters")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
