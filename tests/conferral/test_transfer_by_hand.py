"""A consult from a terminal, with everything between the two phones in place."""

import pytest

from tests.conferral.cli_helpers import Ran
from tests.support.command_line import CommandLine
from tests.support.local_system import LocalSystem
from tests.support.phones import answers, busy

pytestmark = [pytest.mark.redis, pytest.mark.processes]
TARGET = "+14155550145"


async def test_a_consult_is_begun_swapped_and_completed_and_a_second_one_fails(redis_server):
    async def typed(*arguments):
        return Ran(*await line.type(*arguments))

    async with LocalSystem(redis_server.url) as system, CommandLine(REDIS_URL=system.redis_url) as line:
        system.sandbox.phone(TARGET).script_in_turn(answers(0.02), busy())
        customer, _ = await system.talking()
        # The agent heard ringing meanwhile, on hold; Twilio takes a while to end that.
        system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", Hold="false", latency_s=0.3)

        consult = ("transfer", customer.sid, "--to", TARGET, "--mode", "consult")
        begun = await typed(*consult, "--brief", "A caller for you", "--id", "job-1")
        assert begun.out.splitlines() == [
            f"consulting; {customer.sid} is now transferring (consult)",
            "agent client:alice and target +…45 are talking; customer +…23 is on hold",
        ]
        assert f"complete {customer.sid} (" in begun.err

        reused = await typed("end", customer.sid, "--yes", "--id", "job-1")
        assert (reused.code, reused.out) == (1, "")
        assert reused.err == "the id job-1 is already used by another command; nothing was done\n"

        swapped = await typed("swap", customer.sid)
        assert swapped.out.endswith("\ncustomer +…23 and agent client:alice are talking; target +…45 is on hold\n")

        second = await typed("transfer", customer.sid, "--to", TARGET, "--mode", "warm")
        assert (second.code, second.out) == (1, "")
        assert second.err.startswith("transfer rejected: another transfer is in progress; allowed now: ")

        completed = await typed("complete", customer.sid)
        assert (
            completed.out == f"completed; {customer.sid} is now conferenced\ncustomer +…23 and agent +…45 are talking\n"
        )

        failed = await typed(*consult)
        assert (failed.code, failed.out) == (1, "")
        assert failed.err.startswith("transfer failed: busy\n")

        shown = await typed("show", customer.sid)
        assert "transfer        consult to +…45 failed (busy)\n" in shown.out
        assert (await typed("end", customer.sid, "--json")).json["status"] == "done"
        await system.settled()
