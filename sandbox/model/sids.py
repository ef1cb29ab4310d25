"""Deterministic SIDs in Twilio's format."""

from __future__ import annotations

import hashlib


def make_sid(prefix: str, seed: str, count: int) -> str:
    """Return two letters and 32 hex digits, a pure function of the arguments.

    Args:
        prefix: The kind of resource: `CA` a call, `CF` a conference, `RE` a recording.
        seed: Distinguishes runs; the same seed gives the same SIDs.
        count: How many SIDs with this prefix came before.

    Source: Twilio docs: What is a String Identifier (SID)?
    """
    digest = hashlib.blake2b(f"{seed}/{prefix}/{count}".encode(), digest_size=16).hexdigest()
    return f"{prefix}{digest}"
