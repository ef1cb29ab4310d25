"""Measure the processor time of simple calls: python sandbox/scripts/simple_calls.py [1000].

Each call asks an aiohttp program for TwiML, hears a sentence, and is hung up; its end is a status callback. The program
runs in the loop of the sandbox, and is included, then in a process of its own, so that the figure is the sandbox's.
"""

import asyncio
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

from aiohttp import web

from offhook import NUMBER, Sandbox

AT_ONCE = 50  #: Requests under way.
TWIML = "<Response><Say>We are open from nine to five.</Say><Hangup/></Response>"


async def _voice(request: web.Request) -> web.Response:
    await request.post()
    return web.Response(text=TWIML, content_type="text/xml")


async def _status(request: web.Request) -> web.Response:
    await request.post()
    return web.Response(status=204)


async def _serve() -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/voice", _voice)
    app.router.add_post("/status", _status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def _serve_elsewhere(parent: Connection) -> None:
    async def serve() -> None:
        runner = await _serve()
        parent.send(runner.addresses[0][1])
        await asyncio.to_thread(parent.recv)
        await runner.cleanup()

    asyncio.run(serve())


async def _measure(port: int, count: int) -> float:
    """Return the processor seconds of this process for so many calls."""
    async with Sandbox(speed=20.0) as sandbox:
        program = f"http://127.0.0.1:{port}"
        sandbox.add_number(NUMBER, voice_url=f"{program}/voice", status_callback=f"{program}/status")
        began_s = time.process_time()
        for number in range(count):
            await sandbox.call_in(f"+1202555{number % 10_000:04}", NUMBER)
            if number % AT_ONCE == 0:
                await sandbox.wait_until_idle()
        await sandbox.wait_until(lambda: not sandbox.model.state.live_calls, 120)
        await sandbox.wait_until_idle()
        used_s = time.process_time() - began_s
        if alerts := len(sandbox.request_log.debugger):
            raise SystemExit(f"{alerts} requests failed: the machine is too busy")
        return used_s


async def _in_loop(count: int) -> float:
    runner = await _serve()
    used_s = await _measure(runner.addresses[0][1], count)
    await runner.cleanup()
    return used_s


def _apart(count: int) -> float:
    ours, theirs = multiprocessing.Pipe()
    program = multiprocessing.Process(target=_serve_elsewhere, args=(theirs,))
    program.start()
    used_s = asyncio.run(_measure(ours.recv(), count))
    ours.send("end")
    program.join()
    return used_s


def main() -> None:
    """Print both figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{count:,} calls, sandbox and program in one loop: {asyncio.run(_in_loop(count)):.2f} s of processor time")
    print(f"{count:,} calls, sandbox alone:                   {_apart(count):.2f} s of processor time")


if __name__ == "__main__":
    main()
