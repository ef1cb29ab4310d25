"""Decides a sample of the sessions again, from their logs: the result must be what is stored, and so must what
the logs say was changed.
"""

import zlib
from collections.abc import Iterable, Mapping

from conferral.storage.codecs import session_codec
from tests.support.decisions import Decisions, Kept
from tests.support.flat_sessions import flat
from tests.support.log_replay import difference


class Replays:
    """Keeps the decisions of one session in so many.

    Attributes:
        done: Sessions decided again (count).
    """

    def __init__(self, every: int) -> None:
        """Begins with nothing kept.

        Args:
            every: One session in so many is in the sample (count); 0 for none.
        """
        self.done = 0
        self._every = every
        self._decisions: dict[str, Decisions] = {}

    def keep(self, kept: Kept) -> None:
        """Notes a decision, committed or not."""
        if self._every and zlib.crc32(kept.session_id.encode()) % self._every == 0:
            self._decisions.setdefault(kept.session_id, Decisions()).keep(kept)

    def complaint(self, session_id: str, log: Iterable[Mapping[bytes, bytes]], record: Mapping[bytes, bytes]) -> str:
        """What is wrong with a session's log, in words; empty when nothing is, and for those not in the sample."""
        decisions = self._decisions.pop(session_id, None)
        if decisions is None:
            return ""
        self.done += 1
        entries = [_in_text(entry) for entry in log]
        try:
            replayed = flat(decisions.replayed(session_id, entries))
        except AssertionError as error:
            return f"its log can't be decided again: {error}"
        session = session_codec.load(session_id, record)
        stored = flat(session)
        differ = {
            name: (replayed.get(name, "-"), stored.get(name, "-"))
            for name in sorted(replayed.keys() | stored.keys())
            if replayed.get(name) != stored.get(name)
        }
        return f"decided again its log comes to {differ}" if differ else difference(entries, session)


def _in_text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}
