"""Runs the demo from its first line to the last process: however it ends, nothing is left behind."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from conferral import output
from conferral.demo import invitation, programs, stories
from conferral.demo.children import Children
from conferral.demo.phones import Phones
from conferral.demo.play import Theatre
from conferral.demo.stage import API_TOKEN, Stage, set_up
from conferral.demo.stories import Story
from conferral.demo.survey import survey
from conferral.demo.waiting import put_down
from conferral.demo.workers import Workers
from conferral.errors import NotDoneError
from conferral.runtime.errors import StoreError

#: How long a process's death can go unnoticed, seconds.
DEATH_FOUND_S = 0.5
#: SIGHUP comes when the terminal is closed.
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Programme:
    """What is played, and how."""

    story: Story
    #: So many times shorter are pauses and ringing than usual.
    pace: float
    exit_after_story: bool


def run(programme: Programme) -> None:
    """Runs until Ctrl-C, or until the story is told.

    Raises:
        NotDoneError: something could not be started, has died, or did not happen.
    """
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_run(programme))


async def _run(programme: Programme) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop.set)
    with Children() as children:
        try:
            await _race(children, stop, programme)
        finally:
            # The terminal may be gone; the processes have to go all the same.
            with suppress(OSError):
                output.note("stopping ...")
            await children.stop()
    with suppress(OSError):
        output.note("stopped; nothing is left behind")


async def _race(children: Children, stop: asyncio.Event, programme: Programme) -> None:
    """Performs until it is over, somebody asks to stop, or a process dies."""
    performance = asyncio.create_task(_perform(children, stop, programme))
    asked = asyncio.create_task(stop.wait())
    death = asyncio.create_task(children.until_one_dies())
    tasks = {performance, asked, death}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if performance.done() and performance.exception() is not None:
        # A process that died is the cause of what the performance ran into; it is found a moment later.
        await asyncio.wait({death}, timeout=DEATH_FOUND_S)
    first = next((task for task in (death, performance, asked) if task.done()), performance)
    await put_down(tasks - {first})
    try:
        first.result()
    except StoreError as error:
        raise NotDoneError(f"the demo's {error}") from error


async def _perform(children: Children, stop: asyncio.Event, programme: Programme) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http, survey() as survey_url:
        output.result("Conferral's demo: everything on this machine, no account, no telephone.")
        stage = await set_up(children, survey_url, programme.story.settings)
        theatre = Theatre(stage, Phones(http, stage.sandbox_url), programme.pace)
        workers = Workers(children, stage.reader, theatre.phones)
        keeping = asyncio.create_task(workers.keep())
        try:
            await theatre.set_phones()
            await theatre.set_lines()
            output.result(f"The story: {programme.story.about}")
            await _play(programme, theatre, workers)
            if not programme.exit_after_story:
                session_id = await stories.second_call(theatre)
                await theatre.hand_phones_over()
                for line in _invitation(stage, session_id, children):
                    output.result(line)
                await stop.wait()
        finally:
            await put_down({keeping})
            await stage.reader.client.aclose()


def _invitation(stage: Stage, session_id: str, children: Children) -> list[str]:
    variables = programs.variables(stage.redis_url, stage.webhooks_url, API_TOKEN, session_id)
    (stage.folder / invitation.VARIABLES).write_text(variables, "utf-8")
    return invitation.lines(stage, [child.process.pid for child in children.kept])


async def _play(programme: Programme, theatre: Theatre, workers: Workers) -> None:
    try:
        await programme.story.play(theatre)
    except NotDoneError as error:
        if not workers.deaths or programme.exit_after_story:
            raise
        # The calls go on, but not at the story's pace.
        output.folded(f"The story stops here, because a worker died in it: {error}")
        await theatre.phones.hang_up_all()
        await theatre.until_silent()
        await theatre.set_phones()
