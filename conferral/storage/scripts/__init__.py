"""Loads the Lua scripts; the only module that runs them.

Each file's name holds its number of keys, so a call can't pass another number. A script missing from Redis's cache
(restart, failover, SCRIPT FLUSH) is sent again here.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

_NAME = re.compile(r"^(?P<verb>[a-z_]+)-(?P<keys>\d+|n)\.lua$")

Argument = str | bytes | int | float
#: The commands that run a script; their arguments: the script, its number of keys, the keys.
SCRIPT_COMMANDS = ("EVALSHA", "EVAL")


class Script:
    """One Lua script."""

    def __init__(self, file_name: str, text: str) -> None:
        match = _NAME.match(file_name)
        if match is None:
            raise ValueError(f"a script's file is named verb_noun-KEYS.lua, not {file_name}")
        self.name = match["verb"]
        self.key_count = None if match["keys"] == "n" else int(match["keys"])
        self.text = text
        # Redis names scripts by SHA-1; it is not a secret. Source: Redis docs, EVALSHA.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script; send it again if Redis has forgotten it."""
        self._check(keys)
        try:
            return await client.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.execute_command("EVAL", self.text, len(keys), *keys, *arguments)

    def command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> tuple[Argument, ...]:
        """Return a pipeline's command, with the text in case Redis forgot it."""
        self._check(keys)
        return "EVAL", self.text, len(keys), *keys, *arguments

    def _check(self, keys: Sequence[str]) -> None:
        if self.key_count is not None and len(keys) != self.key_count:
            raise ValueError(f"{self.name} takes {self.key_count} keys, not {len(keys)}")


_FOLDER = resources.files("conferral.storage") / "scripts"
_FOUND = (Script(file.name, file.read_text("utf-8")) for file in _FOLDER.iterdir() if file.name.endswith(".lua"))
SCRIPTS = {script.name: script for script in _FOUND}
# Each is an attribute, such as `scripts.commit_batch`: every commit looks one up.
globals().update(SCRIPTS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Script: ...
