"""Run the demo from start to cleanup."""

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from conferral.cli import output
from conferral.demo import closing_message
from conferral.demo.desks import make_desk_urls
from conferral.demo.environment import start
from conferral.demo.scenario import ScenarioRunner
from conferral.demo.story import SUMMARY, play_story
from conferral.operations.errors import CommandNotDoneError
from conferral.processes.subprocesses import RESTART_AFTER_S, Subprocesses, cancel_all, poll_until
from conferral.runtime.errors import StoreError

#: Longest time until a process's death is noticed, in seconds.
DEATH_DETECTION_S = 0.5
#: SIGHUP arrives when the terminal closes.
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo plays."""

    #: Factor by which pauses and ringing are shortened.
    pace: float
    exit_after_story: bool


def run(options: DemoOptions) -> None:
    """Run until Ctrl-C or the story's end, or raise CommandNotDoneError."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_run_and_clean_up(options))


async def _run_and_clean_up(options: DemoOptions) -> None:
    """Run the demo to its end, then stop and remove what it started."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        with Subprocesses() as children:
            try:
                await _run_until_over(children, stack, stop, options)
            finally:
                # The terminal may be gone; stop the processes anyway.
                with suppress(OSError):
                    output.print_note("stopping ...")
                await children.stop()
    with suppress(OSError):
        output.print_note("stopped; nothing is left behind")


async def _run_until_over(
    children: Subprocesses, stack: AsyncExitStack, stop: asyncio.Event, options: DemoOptions
) -> None:
    """Run until the story ends, a signal arrives, or a process dies."""
    story = asyncio.create_task(_run_story(children, stack, stop, options))
    stop_requested = asyncio.create_task(stop.wait())
    death = asyncio.create_task(children.wait_for_death())
    tasks = {story, stop_requested, death}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if story.done() and story.exception() is not None:
        # If a process died, its death caused the story's error; wait for it to be detected.
        await asyncio.wait({death}, timeout=DEATH_DETECTION_S)
    first = next((task for task in (death, story, stop_requested) if task.done()), story)
    await cancel_all(tasks - {first})
    try:
        first.result()
    except StoreError as error:
        raise CommandNotDoneError(f"the demo's {error}") from error


async def _run_story(children: Subprocesses, stack: AsyncExitStack, stop: asyncio.Event, options: DemoOptions) -> None:
    """Play a story; then leave one call for the user, until the stop."""
    output.print_line("Conferral's demo: runs on this machine only, with no account and no real phones.")
    stage, sandbox = await start(children, stack)
    runner = ScenarioRunner(stage, sandbox, options.pace, lambda: [worker.process.pid for worker in children.workers])
    restarting = asyncio.create_task(children.restart_workers())
    try:
        runner.script_all_phones()
        output.print_line(f"Demo: {SUMMARY}")
        await play_story(runner)
        if not options.exit_after_story:
            await poll_until(children.workers_run, RESTART_AFTER_S)  # the story has killed one
            runner.script_all_phones()
            session_id = (await runner.start_bridged_call()).sid
            runner.set_phones_manual()
            closing_message.write_env_file(stage, session_id)
            for line in closing_message.lines(stage, runner.worker_pids(), await make_desk_urls(stage)):
                output.print_line(line)
            await stop.wait()
    finally:
        await cancel_all({restarting})
        await stage.reader.client.aclose()
