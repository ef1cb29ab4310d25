"""The words of every surface: what things are called, and times written.

Phrases come first: events, effects, statuses, reasons, and waits. Functions then fill in who is meant, and write times
and lists.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from conferral.runtime.text import join_words
from conferral.statemachine.events import GateDecision, Transfer
from conferral.statemachine.reasons import LEFT_NOTES, REASONS, EndReason, Reason, reported_reason
from conferral.statemachine.session import TARGET
from conferral.statemachine.states import Place
from conferral.statemachine.step import CommandStatus
from conferral.storage.codecs.text_codec import to_iso

WaitSource = Literal["timer", "twilio", "person", "worker", "sweep"]

#: Why a `<Dial>` failed or a request was refused. Source: Twilio docs, Error and Warning Dictionary.
TWILIO_ERRORS = {
    "10004": "the account has as many calls as it may have",
    "13214": "Twilio refused the caller ID",
    "13223": "Twilio found the number malformed",
    "13224": "Twilio can't call the number",
    "13227": "the geo permissions lack the number's country",
    "13236": "the conference was over",
    "16020": "the conference was full",
    "20003": "Twilio refused the credentials",
    "20429": "there were too many requests",
    "21210": "Twilio does not know the caller ID as the account's",
    "21211": "Twilio found the number invalid",
    "21212": "Twilio found the caller ID invalid",
    "21214": "Twilio can't reach the number",
    "21215": "the geo permissions lack the number's country",
    "21216": "Twilio blocks calls to the number",
    "21217": "Twilio found the number invalid",
    "21219": "a trial account calls verified numbers only",
}
#: Why a party was never reached.
UNREACHED = frozenset({*Reason, "canceled"}) - {Reason.HUNG_UP, Reason.LEFT}
#: Twilio's statuses of a call that was not answered, which are reasons, too.
_UNANSWERED = {status: Reason(status).words.said for status in ("busy", "no-answer", "failed", "rejected")}
#: Statuses of a call, as they change.
CALL_STATUSES = _UNANSWERED | {
    "queued": "{who} is queued to be dialed",
    "initiated": "dialing {who}",
    "ringing": "{who} is ringing",
    "in-progress": "{who} answered",
    "completed": "{who}'s call ended",
    "canceled": "{who} is no longer being dialed",
}
#: For statuses read from Twilio, which are states rather than changes.
LISTED_STATUSES = {"in-progress": "{who} is connected", "initiated": "{who} is being dialed"}
CONNECTING = {"dialing": "is being dialed", "ringing": "is ringing", "confirming": "is being asked to press 1"}
#: How the reason of a command begins that an operator overrode with another.
SUPERSEDED = "superseded by "
#: What a failed transfer is followed by: the customer is attended to.
RECOVERIES = {
    "recall": "calling the agent back",
    "fallback": "dialing the fallback",
    "voicemail": "the customer is in the voicemail",
}
#: Events whose words need no more than their own fields; `explain/timeline.py` describes the others.
EVENTS = {
    "conference_started": "conference started",
    "calls_overdue": "no callback about the calls has arrived; asking Twilio",
    "convert_overdue": "conversion timed out",
    "read_overdue": "something should have been reported by now; asking Twilio",
    "lone_overdue": "one party was left alone for too long",
    "dial_overdue": "no callback for a dialed call arrived in time",
    "age_overdue": "session reached its maximum age",
    "client_call_received": "outgoing call from a browser or app",
    "pending_command_overdue": "Twilio did not confirm the command in time",
    "park_overdue": "park timed out",
    "hold_overdue": "a hold reached its limit",
    "call": "call requested: the agent first, then the customer",
    "participant_joined": "{party} joined the conference",
}
AUDIO = {"text": "a message", "url": "a URL"}
FLAGS = {"held": "on hold", "muted": "muted"}
SUPERVISION = {"monitor": "is monitoring", "whisper": "is whispering to the agent", "barge": "is heard by everyone"}
#: Changes of a participant: the request, and the confirmed state.
UPDATES = {
    "hold": ("hold {party}", "{party} is on hold"),
    "unhold": ("take {party} off hold", "{party} is off hold"),
    "mute": ("mute {party}", "{party} is muted"),
    "unmute": ("unmute {party}", "{party} is unmuted"),
    "set-end-on-exit": ("end the conference when {party} leaves", "the conference ends when {party} leaves"),
    "clear-end-on-exit": (
        "keep the conference running when {party} leaves",
        "the conference keeps running when {party} leaves",
    ),
} | {mode: (f"switch {{party}} to {mode}", f"{{party}} {text}") for mode, text in SUPERVISION.items()}
RECORDING = {
    "in-progress": "is in progress",
    "paused": "is paused",
    **dict.fromkeys(("stopped", "processing"), "was stopped"),
    "completed": "is available",
    "absent": "contains no audio",
    "failed": "has failed",
}
SWEEP_FINDINGS = {
    "call-missing": "sweep: Twilio no longer lists one of the session's calls as live",
    "conference-missing": "sweep: Twilio no longer lists the session's conference as live",
    "call-answered": "sweep: Twilio lists a ringing call as answered",
    "call-live": "sweep: Twilio still lists a call, although the session has ended",
    "conference-live": "sweep: Twilio still lists the conference, although the session has ended",
    "conference-unknown": "sweep: Twilio lists a conference of this name, of which the session does not know",
    "writes-lost": "Redis may have lost recent writes; asking Twilio for the current state",
}
#: Named by a gate's event if its call belongs to no party.
CALLED_PARTY = "the called party"
GATE_DECISIONS = {"accepted": "{who} passed call screening"} | {
    str(one): REASONS[one].words.said for one in GateDecision if one in REASONS
}
#: What Conferral asks Twilio to do.
EFFECTS = {
    "redirect_call": "move {party} into the conference",
    "create_participant": "dial {party} into the conference",
    "create_call": "dial {party}",
    "find_call": "find {party}'s call",
    "update_participant": "update {party}",
    "play_announcement": "play an announcement to {party}",
    "start_recording": "record {party}'s call",
    "change_recording": "change the recording",
    "say_and_hang_up": "play a message to {party} and hang up",
    "redirect_to_voicemail": "move {party} to the voicemail",
    "find_message": "find the message that {party} left",
    "find_recording": "find the recording",
    "redirect_to_url": "redirect {party} to your app's URL",
    "hang_up_call": "hang up {party}'s call",
    "end_conference": "end the conference",
    "read_calls": "report the state of the calls",
}
#: Effects with variants: by kind and by what they request.
EFFECT_VARIANTS = {("update_participant", name): request for name, (request, _) in UPDATES.items()} | {
    ("change_recording", "paused"): "pause the recording",
    ("change_recording", "in-progress"): "resume the recording",
    ("change_recording", "stopped"): "stop the recording",
}
#: What happens when a timer fires.
TIMERS = {
    "calls": "Conferral asks Twilio about the calls",
    "convert": "the conversion fails if no one has been moved",
    "read": "Conferral asks Twilio what has become of the calls",
    "lone": "Conferral hangs up the party left alone",
    "dial": "Conferral asks Twilio about the dialed call",
    "stage": "Conferral checks on the transfer",
    "pending_command": "the pending command fails",
    "park": "the parked call goes back to the agent who parked it",
    "hold": "Conferral ends the hold, and a consult with it (CONFERRAL_HOLD_LIMIT)",
    "age": "the call reaches its limit of 24 h, and Conferral asks Twilio whether it is over",
}
#: What a party waits for by its status, and who brings it.
PARTY_WAITS: dict[str, tuple[str, WaitSource]] = {
    "dialing": ("Twilio to dial {party}", "twilio"),
    "ringing": ("{party} to answer", "person"),
    "confirming": ("{party} to press 1", "person"),
}
#: States at the start of a sentence.
STATES = {
    "bridged": "Bridged",
    "converting": "Converting",
    "conferenced": "In conference",
    "transferring": "Transferring",
}
#: Names in a sentence, at most (count): a conference has up to 250 parties.
LISTED_MAX = 10


def reason_text(reason: str, who: str = CALLED_PARTY) -> str:
    """Return the catalog's words for a reason; a sentence stays as it is.

    >>> reason_text("no-answer", "target")
    'target did not answer'
    """
    known = REASONS.get(reason)
    return known.words.said.format(who=who) if known else reason


def command_reason(kind: str, reason: str, code: str) -> str:
    """Describe why a command failed or was rejected; empty without a reason.

    >>> command_reason("transfer", "busy", "")
    'target was busy (busy)'
    """
    # The word is part of the interface: scripts look for it.
    notes = (reason if reason in REASONS else "", twilio_error_note(code))
    return with_notes(_command_words(kind, reason), *notes)


def command_report(kind: str, status: str, reason: str, code: str) -> str:
    """Describe how a command ended, such as `add failed: the line is busy`."""
    if (status, reason) == (CommandStatus.FAILED, Reason.CANCELLED):
        return f"{kind or 'a command'} canceled"
    why = f": {_command_words(kind, reason)}" if reason else ""
    return with_notes(f"{kind or 'a command'} {status}{why}", twilio_error_note(code))


def _command_words(kind: str, reason: str) -> str:
    return transfer_failure(reason) if kind == Transfer.name and reason else reason_text(reason)


def is_bad_end(reason: str) -> bool:
    """Whether a session ended as no one intended, and worse than unanswered."""
    return reason in REASONS and REASONS[reason].words.is_bad


def left_note(left_reason: str) -> str:
    """Return why a party is gone, in words that follow its name."""
    if note := LEFT_NOTES.get(left_reason):
        return note
    words = reported_reason(left_reason).words
    return words.note or words.said.removeprefix("{who} ")


def transfer_failure(reason: str, code: str = "") -> str:
    """Describe why a transfer failed, and what became of its fallback.

    >>> transfer_failure("busy, recall no-answer, recall no-answer")
    'target was busy, the agent did not answer'
    """
    first, *places = map(str.strip, reason.split(","))
    was_canceled = first in (Reason.CANCELLED, EndReason.COMMAND)
    why = "an operator canceled it" if was_canceled else reason_text(first, TARGET)
    found = [with_notes(why, twilio_error_note(code))]
    for place in places:  # such as `recall busy`
        name, _, result = place.partition(" ")
        who = "the agent" if name == Place.RECALL else f"the {name}"
        found.append(reason_text(result, who) if result in REASONS else reason_text(place, TARGET))
    return ", ".join(dict.fromkeys(found))  # who was rung twice is named once


def describe_update(update: str, party: str) -> str:
    """Describe a participant after a change; empty for an unknown one."""
    return UPDATES[update][1].format(party=party) if update in UPDATES else ""


def describe_effect(kind: str, party: str, variant: str) -> str:
    """Describe an effect, such as `hold customer` for the variant `hold`."""
    default_party = "everyone" if kind == "play_announcement" else "a party"
    known = EFFECT_VARIANTS.get((kind, variant)) or EFFECTS.get(kind)
    # Don't use an unknown kind as a format string: it may contain braces.
    return known.format(party=party or default_party) if known else kind.replace("_", " ")


def call_status(who: str, status: str, sentences: Mapping[str, str] = CALL_STATUSES) -> str:
    """Describe a call's status, such as `agent is ringing`."""
    known = sentences.get(status)
    # A status that is none of Twilio's may hold braces.
    return known.format(who=who) if known else f"{who} {status}"


def twilio_error(code: str) -> str:
    """Return what an error code of Twilio's means; empty without a code."""
    return TWILIO_ERRORS.get(code, code and f"Twilio's error {code}")


def twilio_error_note(code: str) -> str:
    """Return an error code with what it means, if that is known; or empty."""
    known = TWILIO_ERRORS.get(code, "")
    return f"Twilio error {code}{f': {known}' if known else ''}" if code else ""


def with_notes(text: str, *notes: str) -> str:
    """Return a text with its notes in parentheses; empty ones are left out."""
    shown = ", ".join(filter(None, notes))
    return f"{text} ({shown})" if text and shown else text or shown


def format_age(since_ms: int, now_ms: int) -> str:
    """Return a duration such as `1 h 01 min`; empty without a start."""
    if not since_ms:
        return ""
    total_s = max(0, now_ms - since_ms) // 1000
    if total_s < 60:
        return f"{total_s} s"
    minutes, seconds = divmod(total_s, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} days"


def utc_clock(at_ms: int) -> str:
    """Return a time of day with its zone, such as `08:01:01 UTC`."""
    return f"{to_iso(at_ms)[11:19]} UTC"


def precise_clock(at_ms: int) -> str:
    """Return a time of day in UTC with milliseconds, without its zone."""
    return to_iso(at_ms)[11:23]


def format_gap(gap_ms: int) -> str:
    """Return a gap such as `+9999 ms`, `+217 s`, or `+12:05 min`."""
    if gap_ms < 10_000:
        return f"+{gap_ms} ms"
    minutes, seconds = divmod(gap_ms // 1000, 60)
    return f"+{gap_ms // 1000} s" if minutes < 10 else f"+{minutes}:{seconds:02} min"


def join_names(names: Sequence[str], also: Sequence[str] = ()) -> str:
    """Join names as `a, b, and c`: the first of a crowd, and all of `also`."""
    shown = [*names, *also]
    if len(names) > LISTED_MAX + 1:
        shown = [*names[:LISTED_MAX], f"{len(names) - LISTED_MAX} more", *also]
    return join_words(shown, "and")


def limit_notes(notes: Sequence[str], limit: int = LISTED_MAX) -> list[str]:
    """Return the notes up to a limit, and then a note such as `and 2 more`."""
    return list(notes) if len(notes) <= limit + 1 else [*notes[:limit], f"and {len(notes) - limit} more"]
