"""What a worker process of a test runs: a worker that can be made to die at one exact step."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from conferral.runtime import lifecycle, log, tracing
from conferral.runtime.settings import ServiceSettings, load
from conferral.statemachine.policy import Policy
from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from tests.support.decisions import keeping_in


def order_of(
    settings: ServiceSettings,
    *,
    lease_ms: int,
    policy: dict[str, int],
    arm_file: Path,
    die_at: str = "",
    nth: int = 1,
    kind: str = "",
    partition: int | None = None,
    port: int | None = None,
    decisions_file: str = "",
    changes: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The configuration of such a process, in plain values.

    Args:
        settings: Of the test's own world.
        lease_ms: See `Worker`.
        policy: Attributes of `Policy`.
        arm_file: It dies only while there is this file.
        die_at: The step at which it dies.
        nth: The how-manieth time that it comes there.
        kind: Kind of the effect that it is at; empty for steps of the loop.
        partition: The partition whose loop it is; None for each.
        port: Where it serves its metrics; None for nowhere.
        decisions_file: Where it writes down what it decides; see `tests.support.decisions`.
        changes: Settings that it has otherwise than the test's world.
    """
    stated = {
        str(field.validation_alias): _plain(getattr(settings, attribute))
        for attribute, field in type(settings).model_fields.items()
        if getattr(settings, attribute) not in (None, ())
    }
    return {
        "settings": stated | (changes or {}),
        "lease_ms": lease_ms,
        "policy": policy,
        "die_at": die_at,
        "nth": nth,
        "kind": kind,
        "partition": partition,
        "port": port,
        "decisions_file": decisions_file,
        "arm_file": str(arm_file),
    }


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


class _Doom:
    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.seen: Counter[str] = Counter()

    def is_armed(self) -> bool:
        return Path(self.order["arm_file"]).exists()

    async def at(self, point: str, detail: object) -> None:
        kind = getattr(detail, "kind", "")
        if point != self.order["die_at"] or kind != self.order["kind"] or not self.is_armed():
            return
        if self.order["partition"] not in (None, detail):
            return
        self.seen[point] += 1
        if self.seen[point] == self.order["nth"]:
            os.kill(os.getpid(), signal.SIGKILL)


def run(order: dict[str, Any]) -> int:
    """Works until it is stopped, or reaches the step at which it dies."""
    log.configure("console", level="debug", process="worker")
    settings = load(ServiceSettings, order["settings"])
    doom = _Doom(order)
    environment = Environment(
        lifetime_ms=order["lease_ms"],
        policy=msgspec.convert(order["policy"], Policy),
        checkpoint=doom.at,
        effect_checkpoint=doom.at,
    )
    worker = Worker(settings, environment=environment)

    async def work(stop: asyncio.Event) -> int:
        return await worker.run(stop, order["port"])

    keeping = keeping_in(Path(order["decisions_file"])) if order["decisions_file"] else nullcontext()
    with keeping, tracing.exporting("worker"):
        return lifecycle.run(work)
