"""Loads the Lua scripts; the only module that runs them.

Each file's name ends with its number of keys. A script missing from Redis's cache (restart, failover, SCRIPT FLUSH) is
sent again here.

While a cluster moves the slot, Redis refuses a script whose keys are no longer all here, and, in the middle, a command
on a key that the script itself has emptied. So removals come after the last other command on their key.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from conferral.storage.connection.client import ScriptCommand, run_all
from conferral.storage.connection.errors import as_store_errors

Argument = str | bytes | int | float
#: The commands that run a script; their arguments: the script, its number of keys, the keys.
SCRIPT_COMMANDS = ("EVALSHA", "EVAL")


class Script:
    """One Lua script."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis names scripts by SHA-1; it is not a secret. Source: Redis docs, EVALSHA.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script, or raise a StoreError; send it if Redis lacks it."""
        with as_store_errors(*keys):
            try:
                return await client.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await client.execute_command("EVAL", self.text, len(keys), *keys, *arguments)

    async def durably(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script as a call does; return once a replica has what it wrote."""
        rest = (len(keys), *keys, *arguments)
        with as_store_errors(*keys):
            (answer,) = await run_all(client, [("EVALSHA", self.sha, *rest)], is_durable=True)
            if isinstance(answer, NoScriptError):
                (answer,) = await run_all(client, [("EVAL", self.text, *rest)], is_durable=True)
            if isinstance(answer, Exception):
                raise answer
        return answer

    def command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> ScriptCommand:
        """Return a pipeline's command, with the text in case Redis forgot it."""
        return ScriptCommand(("EVAL", self.text, len(keys), *keys, *arguments))


_FOLDER = resources.files("conferral.storage") / "scripts"
#: By the file's name, without its number of keys.
SCRIPTS = {
    file.name.partition("-")[0]: Script(file.read_text("utf-8"))
    for file in _FOLDER.iterdir()
    if file.name.endswith(".lua")
}
# Each is an attribute, such as `scripts.commit_batch`: every commit looks one up.
globals().update(SCRIPTS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Script: ...
