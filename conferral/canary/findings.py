"""What the canary found: of each flow, and of Twilio's behavior in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from conferral.storage.codecs.log_codec import LogEntry

OK, WARN, FAIL = "ok", "warn", "fail"
#: What Twilio's documentation leaves open, or accounts do differently, by the sandbox's name for it
#: (`offhook.model.behavior`). docs/canary.md says what each reading means.
BEHAVIORS = {
    "abandoned_child": "how a ringing call ends whose caller hangs up",
    "action_after_hang_up": "the action of a <Dial> is requested when its caller hangs up",
    "add_before_start": "a dial into a conference that has not started",
    "announcement_failure": "an announcement that fails",
    "completed_participant": "why a participant left whose call a request completes",
    "conference_list": "what a list of conferences without Status shows",
    "conference_recording_channels": "channels of a conference's recording",
    "early_media_counts_as_join": "a participant joins while the phone rings with early media",
    "early_media_starts": "a participant who rings with early media starts the conference",
    "end_before_start": "the end by REST of a conference that has not started",
    "end_on_exit_update": "when a change of EndConferenceOnExit takes effect",
    "ending_leave": "when the one who ends a conference leaves",
    "failed_wait": "why a participant left whose wait document fails",
    "final_callback": "a call's last callback, and those of what its end causes",
    "init_conference_list": "what the list of conferences with Status=init shows",
    "late_answer": "who answers after the end of the conference",
    "list_delay_s": "seconds until lists show a new call",
    "old_action_on_redirect": "the action of the <Dial> is requested that a request moves a caller out of",
    "orphaned_coach": "what others hear of a coach whose coached one has left",
    "recording_files": "who may download the file of a recording",
    "recording_of_a_child": "whose the recording of a bridge's called side is",
    "ring_buffer_s": "seconds that a call by REST rings beyond its Timeout",
    "second_recording": "what a second request to record a call returns",
    "sorted_queries": "callback URLs arrive with a sorted query",
    "unstarted_conference": "the status of a conference of two that no one starts",
    "update_before_start": "an update of a participant before the conference starts",
    "verify_callers": "a caller ID that is not the account's is refused",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation; `name` and `reading` are the sandbox's words for it."""

    flow: str
    #: Of the sandbox's behavior, or what is judged.
    name: str
    #: `ok`: documented, or one of the documented readings. `warn`: not observed. `fail`: not as documented.
    status: str
    found: str
    #: The behavior's value that matches; empty if there is none.
    reading: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """The time between the two callbacks that bound what someone hears."""

    who: str
    first: str
    last: str
    ms: int


@dataclass(slots=True)
class FlowResult:
    """What one flow showed."""

    flow: str
    findings: list[Finding] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    #: Callbacks in the order of their arrival, and how late the latest was.
    order: list[str] = field(default_factory=list)
    delay_ms: int = 0
    #: Twilio's error codes.
    codes: list[str] = field(default_factory=list)
    #: Of all calls together, and in conferences: what Twilio bills, before it rounds up.
    calls: int = 0
    call_s: int = 0
    participant_s: float = 0.0
    #: Logs of its sessions, and the callbacks of the canary's own calls; only for the trace.
    logs: list[Sequence[LogEntry]] = field(default_factory=list)
    callbacks: list[Mapping[str, str]] = field(default_factory=list)

    def add(self, name: str, status: str, found: str, reading: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(self.flow, name, status, found, reading))

    def observe(self, name: str, seen: object) -> None:
        """Add which documented reading of a behavior was seen; None for none."""
        if seen is None:
            self.add(name, WARN, f"{BEHAVIORS[name]}: not observed in this run")
            return
        reading = str(seen).lower() if isinstance(seen, bool) else str(seen)
        self.add(name, OK, f"{BEHAVIORS[name]}: {reading}", reading)

    @property
    def status(self) -> str:
        """The worst status of its findings."""
        return worst(self.findings)

    def public(self) -> dict[str, Any]:
        """Return it as JSON, without the logs."""
        found = {name: value for name, value in asdict(self).items() if name not in ("logs", "callbacks")}
        return found | {"status": self.status}


def worst(findings: Sequence[Finding]) -> str:
    """Return the worst status."""
    return max((one.status for one in findings), key=(OK, WARN, FAIL).index, default=OK)
