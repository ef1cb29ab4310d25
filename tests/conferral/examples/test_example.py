"""The example of the client, with everything between the phones in place."""

import asyncio
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conferral.cli_helpers import process_variables, set_up, until
from tests.support.local_system import LocalSystem
from tests.support.people import TARGET
from tests.support.phones import answers, busy, presses

pytestmark = pytest.mark.redis
EXAMPLE = Path(__file__).parents[3] / "examples" / "bring_the_lead.py"
LEAD = "client:lead"


def load():
    spec = importlib.util.spec_from_file_location("bring_the_lead", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_lead_is_brought_in_once_when_a_call_comes_back(redis_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    async with LocalSystem(redis_server.url, speed=20, CONFERRAL_RING_TIMEOUT=20) as system:
        system.sandbox.phone(TARGET).script_in_turn(busy())
        system.sandbox.phone(LEAD).script_in_turn(presses("1"))
        customer, _ = await system.talking()
        system.agent_phone.script_in_turn(answers())
        example = load()
        # Two of them: what they give is done once.
        programs = [asyncio.create_task(example.main()) for _ in range(2)]

        async def both_wait():
            reported = await system.client.info("commandstats")
            return reported.get("cmdstat_xrevrange", {}).get("calls", 0) >= 2

        await system.eventually(both_wait, "both programs wait for outcomes")
        assert (await system.command("transfer", customer.sid, to=TARGET, mode="blind")).reason == "busy"
        session = await system.until(customer.sid, **{"transfer.to": LEAD, "transfer.status": "merged"})

        assert session["transfer.mode"] == "warm"
        assert session["party.target.status"] == "connected"
        entries = [entry for entry in await system.log(customer.sid) if entry["event"] == "transfer"]
        assert [entry["outcome"] for entry in entries].count("moved") == 2
        for program in programs:
            program.cancel()
        assert all(
            isinstance(ended, asyncio.CancelledError)
            for ended in await asyncio.gather(*programs, return_exceptions=True)
        )
        await system.command("end", customer.sid)
        await system.settled()


def test_ctrl_c_ends_the_example_quietly(redis, redis_server):
    set_up(redis)
    redis.config_resetstat()
    variables = process_variables(REDIS_URL=redis_server.url)
    with subprocess.Popen([sys.executable, EXAMPLE], env=variables, stderr=subprocess.PIPE, text=True) as program:
        until(lambda: "cmdstat_xrevrange" in redis.info("commandstats"), "the example waits for outcomes", program)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=30)

    assert (program.returncode, err) == (0, "")
