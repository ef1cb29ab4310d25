"""Loads the Lua scripts; the only module that runs them.

Each file's name holds its number of keys, so a call can't pass another number. A script missing from Redis's cache
(restart, failover, SCRIPT FLUSH) is sent again here.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

_NAME = re.compile(r"^(?P<verb>[a-z_]+)-(?P<keys>\d+|n)\.lua$")

Argument = str | bytes | int | float
#: The commands that run a script; their arguments are the script, its number of keys, and the keys.
SCRIPT_COMMANDS = ("EVALSHA", "EVAL")


class Script:
    """One Lua script."""

    def __init__(self, file_name: str, text: str) -> None:
        match = _NAME.match(file_name)
        if match is None:
            raise ValueError(f"a script's file is named verb_noun-KEYS.lua, not {file_name}")
        self.name = match["verb"]
        #: Number of keys; None if it varies.
        self.key_count = None if match["keys"] == "n" else int(match["keys"])
        self.text = text
        # Redis names scripts by SHA-1; it is not a secret. Source: Redis docs, EVALSHA.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script.

        Raises:
            redis.exceptions.RedisError: Raised by the client, except for NOSCRIPT, after which the script is sent
                again.
        """
        self._check(keys)
        try:
            return await client.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.execute_command("EVAL", self.text, len(keys), *keys, *arguments)

    def append_to(self, pipeline: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Add the script to a pipeline; if Redis has forgotten it, the answer is a `NoScriptError`."""
        self._check(keys)
        pipeline.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def _check(self, keys: Sequence[str]) -> None:
        if self.key_count is not None and len(keys) != self.key_count:
            raise ValueError(f"{self.name} takes {self.key_count} keys, not {len(keys)}")


def _load() -> dict[str, Script]:
    folder = resources.files("conferral.storage") / "scripts"
    found = (Script(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".lua"))
    return {script.name: script for script in found}


SCRIPTS = _load()
commit_batch = SCRIPTS["commit_batch"]
acquire_lease = SCRIPTS["acquire_lease"]
renew_leases = SCRIPTS["renew_leases"]
release_lease = SCRIPTS["release_lease"]
fire_timers = SCRIPTS["fire_timers"]
finish_effect = SCRIPTS["finish_effect"]
claim_command = SCRIPTS["claim_command"]
route_command = SCRIPTS["route_command"]
report_command = SCRIPTS["report_command"]
mark_suspect = SCRIPTS["mark_suspect"]
dead_letter_entry = SCRIPTS["dead_letter_entry"]
mark_sent = SCRIPTS["mark_sent"]
acquire_dial_permit = SCRIPTS["acquire_dial_permit"]
share_requests = SCRIPTS["share_requests"]
claim_gate = SCRIPTS["claim_gate"]
count_call = SCRIPTS["count_call"]
write_heartbeat = SCRIPTS["write_heartbeat"]
raise_schema = SCRIPTS["raise_schema"]
register_process = SCRIPTS["register_process"]
read_processes = SCRIPTS["read_processes"]
reopen_command = SCRIPTS["reopen_command"]
read_session_versions = SCRIPTS["read_session_versions"]
erase_session = SCRIPTS["erase_session"]
publish_command = SCRIPTS["publish_command"]
