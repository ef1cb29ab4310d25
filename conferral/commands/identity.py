"""Identity of a command: digest, sender, session; reasons for conflicts."""

import hashlib
import json
from collections.abc import Mapping

from conferral.commands.field_values import AUTHOR
from conferral.runtime import tracing
from conferral.statemachine.events import Press


def digest_of(fields: Mapping[str, str]) -> str:
    """Return a digest of what a command does, 16 hex digits.

    It covers all fields but id, sender, deadline, and trace: a repeated command may have another deadline. Nor does it
    cover the digits of a `press`: anyone could find so few by trying all.

    >>> digest_of({"type": "end", "session": "s", "id": "c1", "to": ""}) == digest_of({"session": "s", "type": "end"})
    True
    """
    left_out = ("id", "by", "deadline", tracing.FIELD, *(("digits",) if fields.get("type") == Press.name else ()))
    request = sorted((name, text) for name, text in fields.items() if text and name not in left_out)
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()[:16]


def sender_of(fields: Mapping[str, str]) -> str:
    """Return a command's sender; empty if missing or invalid.

    >>> sender_of({"type": "end", "by": "cli"})
    'cli'
    """
    try:
        return str(AUTHOR.parse(fields.get("by", "")))
    except ValueError:
        return ""


def session_id_of(command_id: str) -> str:
    """Return the id of the session that a `call` opens, from the command's.

    >>> session_id_of("1795165380677-0")
    'CSc56d807998e9070ce46aa0632f3f496f'
    """
    return f"CS{hashlib.sha256(command_id.encode()).hexdigest()[:32]}"


def existing_session() -> str:
    """Return the reason for rejecting a `call` whose session exists."""
    return "session: this id is already in use; choose another"
