"""One input's transaction: state, time, outputs, and tasks.

Some changes wait as tasks until the current one is complete: a call that ends releases its bridge, its conference, and
its parent's Dial. Tasks also avoid circular imports.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from offhook.model import callback_parameters
from offhook.model.behavior import Behavior
from offhook.model.formats import dialable, make_sid, resolve, with_query
from offhook.model.messages import WARNINGS, DebuggerEntry, FetchPurpose, FetchRequest, Level, Output, Params
from offhook.model.remarks import Remark
from offhook.model.state import Call, Conference, Fetch, Source, State
from offhook.model.twiml_parser import Verb


@dataclass(frozen=True, slots=True)
class Task:
    """A follow-up once the current change is complete.

    `arrive`: a dialed leg comes in at a number of the account. `far-answered`: it was answered there. `bridge`: a
    whisper has ended. `dial-over`: its `<Dial><Conference>` ended with the DialCallStatus `detail`. `dequeue`: someone
    waits in the queue that it dials. `ended`: `detail` is why it leaves its conference.
    """

    kind: Literal["run", "ended", "dial-over", "bridge", "arrive", "far-answered", "dequeue"]
    call_sid: str
    detail: str = ""


@dataclass(slots=True)
class Transaction:
    """The processing of one input."""

    state: State
    behavior: Behavior
    now_s: float
    strict: bool = False  #: Whether what Twilio doesn't document is refused.
    outputs: list[Output] = field(default_factory=list)
    tasks: deque[Task] = field(default_factory=deque)
    changed_sids: set[str] = field(default_factory=set)  #: Accessed calls and conferences: their audibility is updated.

    def call(self, sid: str) -> Call:
        """Return the call; mark it and what is connected to it as changed."""
        call = self.state.calls[sid]
        self.changed_sids.add(sid)
        self.changed_sids.update(it for it in (call.parent_sid, call.dialer_sid) if it)
        if call.dial is not None:
            self.changed_sids.update(call.dial.children)
        if call.conference_sid:
            self.changed_sids.add(call.conference_sid)
        return call

    def conference(self, sid: str) -> Conference:
        """Return the conference; mark it and its participants as changed."""
        self.changed_sids.add(sid)
        return self.state.conferences[sid]

    def live_conference(self, name_or_sid: str) -> Conference | None:
        """Return the live conference with this name or SID, marked as changed."""
        sid = self.state.conference_sids.get(name_or_sid, name_or_sid)
        found = self.state.conferences.get(sid)
        return self.conference(sid) if found is not None and found.status != "completed" else None

    def new_sid(self, prefix: str) -> str:
        """Return the next SID with this prefix."""
        count = self.state.created_counts.get(prefix, 0)
        self.state.created_counts[prefix] = count + 1
        return make_sid(prefix, self.state.seed, count)

    def add_debugger_entry(
        self, code: int, message: str, call_sid: str = "", url: str = "", *, level: Level | None = None
    ) -> None:
        """Report an error or a warning, by default as Twilio classifies the code."""
        level = level or ("warning" if code in WARNINGS else "error")
        self.outputs.append(DebuggerEntry(code, message, call_sid, url, level, self.now_s))

    def add_remarks(self, remarks: Iterable[Remark], call_sid: str = "", url: str = "") -> None:
        """Report what is ignored of a document or a request."""
        for remark in remarks:
            self.add_debugger_entry(remark.code, remark.message, call_sid, url, level=remark.level)

    def dialable(self, address: str, code: int) -> str:
        """Return the address to dial; warn, with this code, of a national number."""
        found = dialable(address) if self.behavior.national_numbers == "dialed" else address
        if found != address:
            self.add_debugger_entry(code, "a number without +: it is dialed as one of the US", level="warning")
        return found

    def set_timer(self, sid: str, name: str, after_s: float | None) -> None:
        """Start or replace a timer; None (endless) starts none."""
        if after_s is not None:
            self.stop_timer(sid, name)  # a replaced timer fires after others of the same time
            self.state.timers[sid, name] = self.now_s + after_s

    def stop_timer(self, sid: str, name: str) -> None:
        """Stop the timer, if it runs."""
        self.state.timers.pop((sid, name), None)

    def voice_params(self, call: Call) -> Params:
        """Return the parameters of a voice request for this call."""
        parent = self.state.calls.get(call.parent_sid) if call.parent_sid else None
        override = self.behavior.browser_parameters == "override"
        return callback_parameters.voice_request(call, self.state.account_sid, parent, override=override)

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
        is_action: bool = False,
    ) -> None:
        """Request a document for a call, with its voice parameters and `extra`.

        A response is ignored once `generation`, by default the call's, is no longer the newest.
        """
        self.state.fetch_count += 1
        fetch_id = self.state.fetch_count
        generation = call.generation if generation is None else generation
        fetch = Fetch(fetch_id, call.sid, purpose, generation, source.url, conference_sid, is_fallback)
        self.state.fetches[fetch_id] = fetch
        voice = self.voice_params(call)
        if purpose == "wait" and (call.from_ if call.direction == "inbound" else call.to).startswith("client:"):
            voice = tuple((name, "" if name in {"Called", "Caller", "From", "To"} else value) for name, value in voice)
        # The form of a Dial's or a Gather's action arrives sorted by name; others don't.
        form = tuple(sorted(voice + extra)) if is_action else voice + extra
        is_get = source.method == "GET"
        url = with_query(source.url, form) if is_get else source.url
        self.outputs.append(FetchRequest(fetch_id, call.sid, url, source.method, () if is_get else form, purpose))

    def end_verb(self, call: Call, verb: Verb, base_url: str, extra: Params | None) -> None:
        """Run the response of a verb's action (default: its own document).

        Without `extra`, run the next verb instead. Nothing is run on a call that has ended.
        """
        source = Source(resolve(base_url, verb.get("action")), verb.get("method", "POST").upper())
        self.request_action(call, None if extra is None else (source, extra))

    def request_action(self, call: Call, action: tuple[Source, Params] | None) -> None:
        """Request a verb's action; without one, run the next verb."""
        if action is None:
            if not call.is_final:
                call.activity = "idle"
                self.tasks.append(Task("run", call.sid))
            return
        source, extra = action
        if call.is_final:
            self.fetch(call, source, "ignored", extra, is_action=True)
            return
        call.generation += 1
        call.activity = "fetching"
        is_whisper = call.program is not None and call.program.whisper
        self.fetch(call, source, "whisper" if is_whisper else "program", extra, is_action=True)
