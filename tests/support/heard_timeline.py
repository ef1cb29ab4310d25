"""What each party of a sandbox could hear over time: the ears of story tests.

    async with Sandbox(speed=20.0) as sandbox:
        listening = Listening(sandbox)
        ...
        consult_s = listening.now()
        ...
        assert listening.never_heard(customer, target, consult_s)
        assert listening.never_recorded(target)
        assert listening.longest_silence(customer) < 1.0
        assert "music" in listening.whats(customer), listening.described()

All times are seconds of the sandbox's clock since the `Listening` was made. That clock runs `Sandbox(speed=...)` times
as fast as ours: at the usual speed of a `World`, 1, they are real seconds; at 20, one real millisecond of our own work
is 0.02 of them, so bounds on silence have to be that much wider.

Nothing is recorded here and nothing runs: the sandbox keeps the history of every leg by itself, from the moment
someone is at its phone (a caller: from the call's start; someone who was dialed: from the answer) to its end. Calls
that are over can be asked about as well. Sound itself is not modelled: that a leg hears another one means that it
would, if the other one spoke.
"""

from typing import NamedTuple

from offhook import CallHandle, Sandbox
from offhook.model.state import Sound, SoundInterval

#: The SIDs of the other legs that are heard, with the word `ringing` among them where someone who is being dialed is
#: heard as well (early media); or one of the words below.
#:
#: - `ringing`: a phone rings, by an ordinary `<Dial>` or by early media in a conference where no one else is heard
#: - `ringback`: a file whose address has `ringback` in its last part: our own wait audio until an answer
#: - `music`: any other file, or Twilio's own music
#: - `said TEXT`: a `<Say>`, with its sentence
#: - `silence`: no one and nothing
What = frozenset[str] | str
#: A call, or its SID.
Leg = CallHandle | str

SILENCE = "silence"


class Span(NamedTuple):
    """From one moment to another a leg heard one thing; the last span of a call that goes on ends now."""

    from_s: float
    to_s: float
    what: What


class Recorded(NamedTuple):
    """From one moment to another a leg's voice went onto a recording; one that goes on ends now."""

    from_s: float
    to_s: float
    recording_sid: str


class HeardTimeline:
    """Says what legs could hear. Legs are given as `CallHandle` or by their SID.

    Args:
        sandbox: Make it as soon as the sandbox has started: its clock counts from here. `reset()` of the sandbox makes
            it forget everything, and another `Listening` is needed then.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._began_s = sandbox.now_s
        self._names: dict[str, str] = {}

    def now(self) -> float:
        """This moment, for `since_s` and `until_s` of the other methods."""
        return self._sandbox.now_s - self._began_s

    def name(self, **calls: Leg) -> None:
        """Give legs names for `described`: `name(customer=customer, agent=agent)`."""
        self._names |= {_sid(call): name for name, call in calls.items()}

    def heard(self, call: Leg, since_s: float | None = None, until_s: float | None = None) -> list[Span]:
        """All that a leg heard, in order of time and without overlaps; only between two moments where they are given.

        Spans that touch and say the same are one. A leg that no one has answered yet heard nothing: an empty list.
        """
        from_s = float("-inf") if since_s is None else since_s
        to_s = self.now() if until_s is None else until_s
        spans: list[Span] = []
        for interval in self._sandbox.model.audibility.intervals(_sid(call)):
            span = self._span(interval)
            span = Span(max(span.from_s, from_s), min(span.to_s, to_s), span.what)
            if span.to_s <= span.from_s:
                continue
            if spans and (spans[-1].to_s, spans[-1].what) == (span.from_s, span.what):
                span = Span(spans.pop().from_s, span.to_s, span.what)
            spans.append(span)
        return spans

    def whats(self, call: Leg, since_s: float | None = None, until_s: float | None = None) -> list[What]:
        """The same without times: what was heard, one thing after the other."""
        return [span.what for span in self.heard(call, since_s, until_s)]

    def hears(self, call: Leg) -> What | None:
        """What a leg hears at this moment; None when no one listens there (not answered yet, or over)."""
        heard = self._sandbox.model.audibility.current(_sid(call))
        return None if heard is None else _what(heard)

    def has_heard(self, listener: Leg, other: Leg, since_s: float | None = None, until_s: float | None = None) -> bool:
        """Whether a leg could hear another one at some time, or at some time between two moments."""
        return any(_sid(other) in what for what in self.whats(listener, since_s, until_s) if not isinstance(what, str))

    def never_heard(
        self,
        listener: Leg,
        other: Leg,
        since_s: float | None = None,
        until_s: float | None = None,
    ) -> bool:
        """Whether a leg could not hear another one at any time, or at any time between two moments.

        One direction only: for a consult ask for both, `never_heard(customer, target)` and
        `never_heard(target, customer)`. A leg that does not exist was never heard: assert besides that it does.
        """
        return not self.has_heard(listener, other, since_s, until_s)

    def seconds(self, call: Leg, what: Leg, since_s: float | None = None, until_s: float | None = None) -> float:
        """How long a leg heard something, all times together: another leg, or a word such as `music` or `ringing`.

        The word `said` stands for every sentence; `ringing` counts what is heard next to others as well.
        """
        wanted = what if isinstance(what, str) else what.sid
        return sum(
            span.to_s - span.from_s for span in self.heard(call, since_s, until_s) if _contains(span.what, wanted)
        )

    def longest_silence(self, call: Leg, since_s: float | None = None, until_s: float | None = None) -> float:
        """The longest time in one piece for which a leg heard no one and nothing, seconds.

        Counted from its answer to its end, or to now; what came before the answer is between the caller and the
        telephone network. 0 for a call that was never answered.
        """
        record = self._sandbox.model.state.calls[_sid(call)]
        if record.answered_at_s is None:
            return 0.0
        answered_s = record.answered_at_s - self._began_s
        from_s = answered_s if since_s is None else max(since_s, answered_s)
        silences = [span for span in self.heard(call, from_s, until_s) if span.what == SILENCE]
        return max((span.to_s - span.from_s for span in silences), default=0.0)

    def recorded(self, call: Leg, since_s: float | None = None, until_s: float | None = None) -> list[Recorded]:
        """When a leg's voice went onto which recording, of a call or of a conference, oldest recording first.

        A leg that is muted or held, and one that coaches, is on no recording of the conference; on a recording of its
        own call it always is.
        """
        from_s = float("-inf") if since_s is None else since_s
        to_s = self.now() if until_s is None else until_s
        out = []
        for recording in self._sandbox.recordings():
            for span in recording.spans:
                if _sid(call) in span.sound.parties:
                    ends_s = self._sandbox.now_s if span.until_s is None else span.until_s
                    begins_s, ends_s = max(span.since_s - self._began_s, from_s), min(ends_s - self._began_s, to_s)
                    if begins_s < ends_s:
                        out.append(Recorded(begins_s, ends_s, recording.sid))
        return out

    def never_recorded(self, call: Leg, since_s: float | None = None, until_s: float | None = None) -> bool:
        """Whether a leg's voice is on no recording, or on none of what was said between two moments.

        For a consult ask for the target in all its time, and for the agent while it lasted.
        """
        return not self.recorded(call, since_s, until_s)

    def described(self, *calls: Leg) -> str:
        """The whole history of these legs, or of all, for the message of a failed assertion."""
        sids = [_sid(call) for call in calls] or list(self._sandbox.model.state.calls)
        lines = []
        for sid in sids:
            lines.append(f"{self._named(sid)}:")
            for span in self.heard(sid):
                what = span.what if isinstance(span.what, str) else ", ".join(sorted(map(self._named, span.what)))
                lines.append(f"  {span.from_s:8.2f} to {span.to_s:8.2f} s  {what}")
        return "\n".join(lines)

    def _named(self, sid: str) -> str:
        return self._names.get(sid, sid)

    def _span(self, interval: SoundInterval) -> Span:
        to_s = self._sandbox.now_s if interval.until_s is None else interval.until_s
        return Span(interval.since_s - self._began_s, to_s - self._began_s, _what(interval.sound))


def _sid(call: Leg) -> str:
    return call if isinstance(call, str) else call.sid


def _what(heard: Sound) -> What:
    match heard.kind:
        case "parties":
            return heard.parties | {"ringing"} if heard.ringing else heard.parties
        case "ringback":
            return "ringing"
        case "music":
            return "ringback" if "ringback" in heard.content.rpartition("/")[2] else "music"
        case "speech":
            return f"said {heard.content}"
        case "digits":
            return f"digits {heard.content}"
        case _:
            return SILENCE


def _contains(what: What, wanted: str) -> bool:
    if isinstance(what, str):
        return what == wanted or (wanted == "said" and what.startswith("said "))
    return wanted in what
