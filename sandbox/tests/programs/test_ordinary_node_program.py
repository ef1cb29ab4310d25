"""What programs written for Twilio do with its library for Node.js."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from model_scenario import BUSINESS, CUSTOMER
from offhook import ACCOUNT_SID, AUTH_TOKEN, Sandbox

PROGRAM = Path(__file__).parent / "ordinary_program.js"
NODE = shutil.which("node")


def has_twilio() -> bool:
    """Whether Node.js is installed, and finds Twilio's library."""
    found = NODE and subprocess.run([NODE, "-e", "require.resolve('twilio')"], cwd=PROGRAM.parent, capture_output=True)
    return bool(found) and found.returncode == 0


@pytest.mark.skipif(not has_twilio(), reason="needs Node.js, and `npm ci` in this folder")
async def test_node_program_runs_unchanged(sandbox: Sandbox) -> None:
    for address in (CUSTOMER, "client:alice"):
        sandbox.phone(address).script(answer_after_s=0.1)
    arguments = (str(PROGRAM), sandbox.url, ACCOUNT_SID, AUTH_TOKEN, BUSINESS, CUSTOMER)
    process = await asyncio.create_subprocess_exec(
        str(NODE), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            seen, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, problems.decode()
    assert json.loads(seen) == {
        "held": True,
        "media": [200, "audio/x-wav", True],
        "ended": "completed",
        "listed": 2,
        "started": True,
        "application": True,
        "deleted": True,
        "unknown": [404, 20404],
    }
