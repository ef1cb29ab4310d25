"""The command line in a process of its own that stays: one command after the other, without the time to start again.

Run as `python -m tests.support.command_line`: takes a list of arguments a line, answers with how it ended.
"""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, Self

import typer.main

from conferral.main import main

REPOSITORY = Path(__file__).resolve().parents[2]


class CommandLine:
    """Types commands into that process, one at a time.

    Args:
        variables: Settings; nothing of ours is taken from the environment of the tests.
    """

    def __init__(self, **variables: str) -> None:
        ours = ("TWILIO_", "CONFERRAL_", "REDIS_")
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith(ours)} | variables
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.command_line", cwd=REPOSITORY, env=self._environment, stdin=pipe,
            stdout=pipe,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def type(self, *arguments: str) -> tuple[int, str, str]:
        """Runs `conferral` with these arguments; returns its exit code and what it printed, errors apart."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
            line = await self._process.stdout.readline()
        code, out, err = json.loads(line)
        return int(code), str(out), str(err)


def _run(arguments: list[str]) -> list[Any]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return [code, out.getvalue(), err.getvalue()]


if __name__ == "__main__":
    typer.main.get_command = cache(typer.main.get_command)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()
