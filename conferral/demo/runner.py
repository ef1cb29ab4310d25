"""Run the demo from start to cleanup; no process survives it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from conferral import output
from conferral.demo import characters, closing_message, ports, programs
from conferral.demo.environment import API_TOKEN, DemoEnvironment, start
from conferral.demo.phones import DemoPhones
from conferral.demo.polling import cancel_all
from conferral.demo.scenario import ScenarioRunner
from conferral.demo.scenarios.calls import Story
from conferral.demo.subprocesses import Subprocesses
from conferral.demo.workers import DemoWorkers
from conferral.errors import CommandNotDoneError
from conferral.runtime.errors import StoreError
from conferral.runtime.web.server import run_server

#: Longest time until a process's death is noticed, in seconds.
DEATH_DETECTION_S = 0.5
#: SIGHUP arrives when the terminal closes.
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo plays, and how."""

    story: Story
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
    with Subprocesses() as children:
        try:
            await _run_until_over(children, stop, options)
        finally:
            # The terminal may be gone; stop the processes anyway.
            with suppress(OSError):
                output.print_note("stopping ...")
            await children.stop()
    with suppress(OSError):
        output.print_note("stopped; nothing is left behind")


async def _run_until_over(children: Subprocesses, stop: asyncio.Event, options: DemoOptions) -> None:
    """Run until the story ends, a signal arrives, or a process dies."""
    story = asyncio.create_task(_run_story(children, stop, options))
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


@asynccontextmanager
async def serve_after_call_twiml() -> AsyncIterator[str]:
    """Serve the survey, as another application would; yield its URL."""

    async def respond(_request: web.Request) -> web.Response:
        document = f"<Response><Say>{characters.AFTER_CALL_TEXT}</Say><Hangup/></Response>"
        return web.Response(text=document, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/survey", respond)
    async with run_server(app, ports.HOST, 0, shutdown_s=1) as port:
        yield f"http://{ports.HOST}:{port}/survey"


async def _run_story(children: Subprocesses, stop: asyncio.Event, options: DemoOptions) -> None:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
        serve_after_call_twiml() as survey_url,
    ):
        output.print_line("Conferral's demo: runs on this machine only, with no account and no real phones.")
        stage = await start(children, survey_url, options.story.settings)
        runner = ScenarioRunner(stage, DemoPhones(http, stage.sandbox_url), options.pace)
        workers = DemoWorkers(children, stage.reader, runner.phones)
        restarting = asyncio.create_task(workers.run())
        try:
            await runner.script_all_phones()
            await runner.set_lines()
            output.print_line(f"Demo: {options.story.summary}")
            await _run_scenario(options, runner, workers)
            if not options.exit_after_story:
                session_id = await runner.start_bridged_call(characters.CUSTOMER)
                await runner.set_phones_manual()
                for line in _closing_message(stage, session_id, children):
                    output.print_line(line)
                await stop.wait()
        finally:
            await cancel_all({restarting})
            await stage.reader.client.aclose()


def _closing_message(stage: DemoEnvironment, session_id: str, children: Subprocesses) -> list[str]:
    variables = programs.variables(stage.redis_url, stage.webhooks_url, API_TOKEN, session_id, stage.settings)
    (stage.folder / closing_message.VARIABLES).write_text(variables, "utf-8")
    return closing_message.lines(stage, [child.process.pid for child in children.restarted])


async def _run_scenario(options: DemoOptions, runner: ScenarioRunner, workers: DemoWorkers) -> None:
    try:
        await options.story.play(runner)
    except CommandNotDoneError as error:
        if not workers.deaths or options.exit_after_story:
            raise
        # The calls continue, but the story's timing is lost.
        output.print_folded(f"The story stops here because a worker died: {error}")
        await runner.phones.hang_up_all()
        await runner.wait_until_idle()
        await runner.script_all_phones()
