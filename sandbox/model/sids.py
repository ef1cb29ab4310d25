"""Makes SIDs that look like Twilio's and are the same in every run."""

from __future__ import annotations

import hashlib


def make_sid(prefix: str, seed: str, count: int) -> str:
    """Two letters and 32 hex digits, a function of its arguments alone.

    Args:
        prefix: What is named: `CA` a call, `CF` a conference, `RE` a recording.
        seed: Tells runs apart; the same seed gives the same SIDs.
        count: How many of this prefix were made before.

    Source: Twilio docs: What is a String Identifier (SID)?
    """
    digest = hashlib.blake2b(f"{seed}/{prefix}/{count}".encode(), digest_size=16).hexdigest()
    return f"{prefix}{digest}"
