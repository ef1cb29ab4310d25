"""The demo's workers: one that dies ends nothing, is started again, and the takeover is reported."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import pytest

from conferral.demo import workers
from conferral.demo.polling import cancel_all, poll_until
from conferral.demo.subprocesses import Subprocesses
from conferral.errors import CommandNotDoneError
from conferral.operations.health import Health, LeaseHolder, PartitionHealth
from tests.conferral.test_demo import demo, folders, processes_of, read_until

__all__ = ["folders"]
SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")


class Phones:
    def __init__(self):
        self.notices = []

    async def notice(self, text):
        self.notices.append(text)
        raise CommandNotDoneError("the sandbox does not answer")


@pytest.fixture
def children():
    with Subprocesses() as children:
        for name in ("worker-1", "worker-2"):
            child = children.start(name, SLEEPS, {})
            child.is_restarted, child.is_starting = True, False
        yield children


async def test_a_worker_that_dies_ends_nothing_and_is_started_again(children, monkeypatch, capsys):
    monkeypatch.setattr(workers, "RESTART_AFTER_S", 0.0)
    phones, (first, second) = Phones(), children.restarted
    kept = workers.DemoWorkers(children, None, phones)
    monkeypatch.setattr(kept, "_is_taken_over", lambda _pid: asyncio.sleep(0, True))
    death, keeping = asyncio.create_task(children.wait_for_death()), asyncio.create_task(kept.run())
    pid, other = first.process.pid, second.process.pid
    os.kill(pid, signal.SIGKILL)

    async def runs_again():
        return len(phones.notices) == 3

    assert await poll_until(runs_again, 20)
    assert (kept.deaths, death.done(), keeping.done()) == (1, False, False)
    assert not first.has_ended
    assert second.process.pid == other
    reported, taken_over, again = phones.notices
    assert " ".join(capsys.readouterr().out.split()) == " ".join(phones.notices)
    died = f"worker-1 (process {pid}) was killed (SIGKILL); worker-2 takes over."
    assert reported == f"{died} worker-1 restarts in 0 s."
    assert taken_over.startswith("Every call has a worker again ")
    assert again == f"worker-1 runs again (process {first.process.pid})."
    await cancel_all({death, keeping})


async def test_the_end_of_any_other_process_ends_the_demo(children):
    (first, _) = children.restarted
    first.is_restarted = False
    first.process.kill()
    with pytest.raises(CommandNotDoneError, match="worker-1 exited unexpectedly"):
        await asyncio.wait_for(children.wait_for_death(), 20)


def held_by(*names, router="host-2-b"):
    partitions = tuple(
        PartitionHealth(number, LeaseHolder(name, 1, 1), 0, 0, 0, 0, 0, 0) for number, name in enumerate(names)
    )
    return Health(1, partitions, LeaseHolder(router, 1, 1), LeaseHolder("", 0, 0), (), 0, 0)


def test_a_takeover_is_over_when_other_processes_hold_everything():
    assert workers.is_uninvolved(held_by("host-2-b", "host-2-b"), 1)
    assert not workers.is_uninvolved(held_by("host-1-a", "host-2-b"), 1)
    assert not workers.is_uninvolved(held_by("", "host-2-b"), 1)
    assert not workers.is_uninvolved(held_by("host-2-b", router="host-1-a"), 1)


@pytest.mark.soak
@pytest.mark.processes
@pytest.mark.redis
@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize("moment", ["alice is in the conference", "Ctrl-C stops everything"])
def test_killed_worker_is_replaced_while_the_demo_continues(folders, tmp_path, moment):
    with demo("--story", "consult", "--pace", "10", folders=folders, cwd=tmp_path) as program:
        before = read_until(program, moment)
        worker = next(pid for pid, line in processes_of(folders).items() if line.endswith("conferral worker"))
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        after = read_until(program, r"worker-\d runs again")
        if not any("Ctrl-C stops everything" in line for line in before + after):
            after += read_until(program, "Ctrl-C stops everything")
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=30)

    assert program.returncode == 0, err
    assert any("Two workers share the calls" in line for line in before + after)
    assert any(line.startswith("Every call has a worker again") for line in after)
    assert not [line for line in after + err.splitlines() if "Traceback" in line or "[error" in line]
