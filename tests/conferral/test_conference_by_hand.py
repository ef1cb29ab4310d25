"""Parties, parking and recording from a terminal, with everything between the phones in place."""

import asyncio

import pytest

from tests.conferral.cli_helpers import PROGRAM, Ran, process_variables
from tests.support.local_system import LocalSystem
from tests.support.phones import answers

pytestmark = [pytest.mark.redis, pytest.mark.processes]
EXPERT = "client:expert"
DAVE = "client:dave"


@pytest.mark.soak
async def test_typed_command_shows_who_hears_whom_and_what_comes_next(redis_server, tmp_path):
    async def typed(*arguments):
        program = await asyncio.create_subprocess_exec(
            *PROGRAM, *arguments, cwd=tmp_path, env=process_variables(REDIS_URL=system.redis_url),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await program.communicate()
        return Ran(program.returncode, out.decode(), err.decode())

    async with LocalSystem(redis_server.url) as system:
        system.sandbox.phone(EXPERT).script_in_turn(answers(), answers())
        system.sandbox.phone(DAVE).script_in_turn(answers())
        customer, _ = await system.talking()
        sid = customer.sid

        added = await typed("add", sid, "--to", EXPERT, "--party", "expert")
        assert added.out.splitlines() == [
            f"added; {sid} is now conferenced",
            "customer +…23, agent client:alice, and expert client:expert are talking",
        ]
        assert f"remove {sid} --party expert; " in added.err

        again = await typed("add", sid, "--to", EXPERT, "--party", "expert")
        assert (again.code, again.out) == (1, "")
        assert again.err.startswith("add rejected: a party with this name is already on the call; allowed now: ")

        held = await typed("hold", sid, "--party", "customer")
        assert held.out.endswith(
            "\nagent client:alice and expert client:expert are talking; customer +…23 is on hold\n"
        )
        assert f"unhold {sid} --party customer; " in held.err

        assert (await typed("unhold", sid, "--party", "customer")).out.startswith(f"off hold; {sid} ")
        listening = await typed("supervise", sid, "--to", DAVE, "--mode", "monitor")
        assert listening.out.endswith("are talking; supervisor client:dave is monitoring\n")
        recording = await typed("record", sid, "--action", "start")
        assert recording.out.endswith("\nrecording in progress\n")
        listed = await typed("sessions")
        assert "expert is connected; supervisor is monitoring; recording" in listed.out

        assert (await typed("remove", sid, "--party", "supervisor")).code == 0
        assert (await typed("remove", sid, "--party", "expert")).code == 0
        parked = await typed("park", sid)
        assert parked.out.startswith(f"parked; {sid} is now conferenced (parked)\ncustomer +…23 ")
        assert "\nparked until " in parked.out
        assert f"retrieve {sid} --to ADDRESS; also: end, show" in parked.err
        retrieved = await typed("retrieve", sid, "--to", EXPERT)
        assert retrieved.out.startswith(
            f"retrieved; {sid} is now conferenced\ncustomer +…23 and agent client:expert are talking\n"
        )

        assert (await typed("end", sid)).code == 0
        shown = await typed("show", sid)
        assert "add requested (expert)" in shown.out
        assert "asks Twilio to hold customer" in shown.out
        await system.settled()
