"""The bench on which one input is worked: state, time, what goes out, and what is still to be done.

Modules above it change the state through a `Work`. Some changes must wait until the current one is complete (a call
that ends releases its bridge, its room, its parent's Dial); these are queued as tasks, so that modules need not import
each other in a circle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from conferral.sandbox.model import callback_parameters
from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.formats import with_query
from conferral.sandbox.model.inputs import Params
from conferral.sandbox.model.outputs import DebuggerEntry, FetchPurpose, FetchRequest, Output
from conferral.sandbox.model.sids import make_sid
from conferral.sandbox.model.state import Call, Conference, Fetch, Source, State

TaskKind = Literal["run", "ended", "dial-over", "bridge"]


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do once the current change is complete.

    `run`: go on with the call's program. `ended`: the call became final. `dial-over`: its `<Dial><Conference>` ended
    with the DialCallStatus `detail`. `bridge`: a whisper is over.
    """

    kind: TaskKind
    call_sid: str
    detail: str = ""


@dataclass(slots=True)
class Transaction:
    """One input being worked on."""

    state: State
    rules: Behavior
    now_s: float
    outputs: list[Output] = field(default_factory=list)
    tasks: deque[Task] = field(default_factory=deque)
    changed_sids: set[str] = field(default_factory=set)
    """SIDs of calls and conferences that were looked at, hence may have changed: whose hearing is told anew."""

    def call(self, sid: str) -> Call:
        """The call; it and those it talks to count as touched."""
        call = self.state.calls[sid]
        self.changed_sids.add(sid)
        if call.parent_sid:
            self.changed_sids.add(call.parent_sid)
        if call.dial is not None:
            self.changed_sids.update(call.dial.children)
        if call.conference_sid:
            self.changed_sids.add(call.conference_sid)
        return call

    def conference(self, sid: str) -> Conference:
        """The conference; everybody in it counts as touched."""
        self.changed_sids.add(sid)
        return self.state.conferences[sid]

    def live_conference(self, name_or_sid: str) -> Conference | None:
        """The conference of this name or SID, unless it has ended."""
        sid = self.state.conference_sids.get(name_or_sid, name_or_sid)
        found = self.state.conferences.get(sid)
        return self.conference(sid) if found is not None and found.status != "completed" else None

    def new_sid(self, prefix: str) -> str:
        """The next SID of this prefix."""
        count = self.state.created_counts.get(prefix, 0)
        self.state.created_counts[prefix] = count + 1
        return make_sid(prefix, self.state.seed, count)

    def add_task(self, kind: TaskKind, call_sid: str, detail: str = "") -> None:
        """Queue a task behind the current change."""
        self.tasks.append(Task(kind, call_sid, detail))

    def emit(self, output: Output) -> None:
        """Ask something of the world."""
        self.outputs.append(output)

    def add_debugger_entry(self, code: int, message: str, call_sid: str = "", url: str = "") -> None:
        """Put an entry on the debugger's list."""
        self.emit(DebuggerEntry(code, message, call_sid, url))

    def set_timer(self, sid: str, name: str, after_s: float) -> None:
        """Wake the owner after so many seconds; a running timer of this name is replaced."""
        self.state.timers.set((sid, name), self.now_s + after_s)

    def stop_timer(self, sid: str, name: str) -> None:
        """Forget the timer, if there is one."""
        self.state.timers.stop((sid, name))

    def voice_params(self, call: Call) -> Params:
        """The parameters of a voice request about this call as it is now."""
        parent = self.state.calls.get(call.parent_sid) if call.parent_sid else None
        return callback_parameters.voice_request(call, self.state.account_sid, parent)

    def fetch(
        self,
        call: Call,
        source: Source,
        purpose: FetchPurpose,
        extra: Params = (),
        *,
        generation: int | None = None,
        conference_sid: str = "",
        is_fallback: bool = False,
    ) -> None:
        """Ask for a document on behalf of a call."""
        self.state.fetch_count += 1
        fetch = Fetch(
            self.state.fetch_count,
            call.sid,
            purpose,
            call.generation if generation is None else generation,
            source.url,
            conference_sid,
            is_fallback,
        )
        self.state.fetches[fetch.fetch_id] = fetch
        all_params = self.voice_params(call) + extra
        is_get = source.method == "GET"
        self.emit(
            FetchRequest(
                fetch.fetch_id,
                call.sid,
                with_query(source.url, all_params) if is_get else source.url,
                source.method,
                () if is_get else all_params,
                purpose,
            )
        )
