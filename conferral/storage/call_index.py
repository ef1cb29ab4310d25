"""Call index: the newest session of each call.

Webhooks, the router, the executor, and the sweep write it. All give an entry the same lifetime, because what is
left of it shows whether a call's session has ended.
"""

from dataclasses import dataclass

from conferral.storage import scripts
from conferral.storage.connection.client import Command
from conferral.storage.keys import Keys

#: The longest session, with a margin, seconds.
_SESSION_MAX_S = 3 * 86_400
#: For how long a captured voice request must not open another session, seconds.
REPLAY_WINDOW_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class CallIndex:
    """Builds the index's commands, for pipelines."""

    keys: Keys
    #: How long an ended session is kept, seconds.
    session_ttl_s: int = 86_400

    @property
    def ended_ttl_s(self) -> int:
        """How long a call is kept after the end of its session, seconds."""
        return max(self.session_ttl_s, REPLAY_WINDOW_S)

    @property
    def ttl_s(self) -> int:
        """How long a call is kept from its first event on, seconds."""
        return _SESSION_MAX_S + self.ended_ttl_s

    def claim(self, call_sid: str, session_id: str) -> Command:
        """Index a call, unless it has a session."""
        return "SET", self.keys.call(call_sid), session_id, "NX", "EX", self.ttl_s

    def claim_visit(self, call_sid: str, ended_id: str, new_id: str) -> Command:
        """Make `new_id` a call's newest session if that is `ended_id`.

        Returns the newest session's id, which another claim may have set.
        """
        return scripts.claim_visit.command([self.keys.call(call_sid)], [ended_id, new_id, self.ttl_s])
