"""What the phones' page shows: phones, conferences, audio, and traffic."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from offhook.call_handle import heard_words
from offhook.model.formats import split_url
from offhook.model.messages import DebuggerEntry
from offhook.model.state import Activity, Call, Participant, Sound
from offhook.phones import Phone, phone_address, phone_of
from offhook.request_log import RESPONSE_BYTES_MAX, DeliveryAttempt, DeliveryEntry, RestEntry
from offhook.runtime import SandboxRuntime

UNKNOWN_PERSON = "an unknown party"  #: Name of a leg whose phone isn't in the sandbox.


def pick(source: object, *names: str) -> dict[str, Any]:
    """Return these attributes of an object as a dictionary."""
    return {name: getattr(source, name) for name in names}


def sound_bubble(heard: Sound, names: Sequence[str]) -> tuple[str, str]:
    """Return the kind and text of what a phone's user hears from `names`.

    The kind is `voice`, `ringing`, `music`, `speech`, or `silence`.
    """
    if heard.is_ringback:
        return "ringing", "ringing tone"
    match heard.kind:
        case "parties":
            return "voice", f"you hear {heard_words(heard, names)}"
        case "speech":
            return "speech", f"a voice says: {heard_words(heard, names)}"
        case "digits":
            return "speech", f"you get {heard_words(heard, names)}"
        case "music":
            file_name = split_url(heard.content).path.rpartition("/")[2]
            return "music", f"♪ music ♪ ({file_name})" if heard.content else "♪ music ♪"
        case _:
            return "silence", "nothing: silence"


CONFERENCES_MAX = 50
MESSAGES_MAX = 50


def number_views(sandbox: SandboxRuntime) -> list[dict[str, str]]:
    """Return the numbers and browser applications, but no SIP domains."""
    return [asdict(it) for it in sandbox.model.state.numbers.values() if not it.is_sip_domain]


def conference_views(sandbox: SandboxRuntime) -> list[dict[str, Any]]:
    """Return the newest live conferences with their participants."""
    state = sandbox.model.state
    live = [state.conferences[sid] for sid in list(state.conference_sids.values())[-CONFERENCES_MAX:]]
    return [
        {
            **pick(conference, "sid", "name", "status"),
            "participants": [
                {
                    **pick(it, "call_sid", "label", "status", "muted", "coaching", "end_on_exit"),
                    "name": name_of(sandbox, phone_of(state.calls[it.call_sid])),
                    "hold": it.is_held,
                }
                for it in conference.participants.values()
            ],
        }
        for conference in live
    ]


def message_view(sandbox: SandboxRuntime) -> dict[str, Any]:
    """Return the newest messages as text: of a `<Record>`, or in a mailbox."""
    calls = sandbox.model.state.calls
    found = [
        {
            **pick(it, "sid", "status", "text"),
            "at": iso(it.started_at_s),
            "caller": name_of(sandbox, phone_of(calls[it.leg_sid])),
            "mailbox": "",
            "duration_s": int(it.length_s(sandbox.model.now_s)),
        }
        for it in sandbox.model.state.recordings.values()
        if it.settings.source == "RecordVerb"
    ]
    mailboxes = (call for call in calls.values() if call.phone_kind == "mailbox-with-beep")
    found += [view for call in mailboxes if (view := _mailbox_view(sandbox, call))["duration_s"] > 0]
    return {"messages": sorted(found, key=lambda it: it["at"], reverse=True)[:MESSAGES_MAX]}


def _mailbox_view(sandbox: SandboxRuntime, call: Call) -> dict[str, Any]:
    """Return what a mailbox has heard since the end of its greeting."""
    since_s = (call.answered_at_s or 0.0) + sandbox.model.behavior.greeting_s
    until_s = sandbox.model.now_s if call.ended_at_s is None else call.ended_at_s
    sounds = [
        it.sound
        for it in sandbox.model.audibility.intervals(call.sid)
        if it.sound.kind != "silence" and (it.until_s is None or it.until_s > since_s)
    ]
    parts = [it.content or heard_words(it, _names_of(sandbox, it.parties)) for it in sounds]
    return {
        "sid": call.sid,
        "status": call.status,
        "text": ", ".join(parts),
        "at": iso(since_s),
        "caller": name_of(sandbox, phone_address(call.from_)),
        "mailbox": name_of(sandbox, phone_of(call)),
        "duration_s": int(until_s - since_s),
    }


def fault_view(sandbox: SandboxRuntime) -> dict[str, Any]:
    """Return the pending one-shot faults and the rates."""
    return {"to_come": sandbox.faults.pending_faults(), "rates": sandbox.faults.rates()}


PHONES_MAX = 24  #: Shown: manually played, in a call, or named phones first, then the newest.
CALLS_MAX = 4  #: How many of a phone's newest calls have a story, including ended ones.
SOUND_SENTENCES_MAX = 30
LINES_MAX = 40  #: Of a story; the newest are kept.


def iso(at_s: float) -> str:
    """Format a sandbox time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name_of(sandbox: SandboxRuntime, address: str) -> str:
    """Return the display name for an address."""
    phone = sandbox.phones.get(address)
    if phone is not None and phone.name:
        return phone.name
    return address.removeprefix("client:") or UNKNOWN_PERSON


def sound_sentences(sandbox: SandboxRuntime) -> list[str]:
    """Return who hears whom, one sentence per party, oldest calls first."""
    said: list[str] = []
    for call in sandbox.model.live_calls():
        if len(said) == SOUND_SENTENCES_MAX:
            break
        heard = sandbox.model.audibility.current(call.sid)
        if heard is not None:
            names = _names_of(sandbox, heard.parties)
            said.append(f"{name_of(sandbox, phone_of(call))} hears {heard_words(heard, names)}")
    return said


def phone_views(sandbox: SandboxRuntime) -> tuple[list[dict[str, Any]], int]:
    """Return the phones to show, oldest first, and how many more there are."""
    live: dict[str, list[Call]] = {}
    for call in sandbox.model.live_calls():
        live.setdefault(phone_of(call), []).append(call)
    every = list(sandbox.phones.values())
    important = [phone for phone in every if phone.is_manual or phone.name or phone.address in live]
    preferred = dict.fromkeys(phone.address for phone in (*important, *reversed(every)))
    shown_addresses = set(list(preferred)[:PHONES_MAX])
    shown = [_view(sandbox, phone, live.get(phone.address, [])) for phone in every if phone.address in shown_addresses]
    return shown, len(every) - len(shown)


def _view(sandbox: SandboxRuntime, phone: Phone, live: list[Call]) -> dict[str, Any]:
    script = phone.next_scripts[0] if phone.next_scripts else phone.default
    in_browser = sandbox.browsers.is_registered(phone.address)
    lines = (line for sid in phone.call_sids[-CALLS_MAX:] for line in _story(sandbox, sid))
    return {
        "address": phone.address,
        "name": name_of(sandbox, phone.address),
        "by_hand": phone.is_manual,
        "kind": script.kind,
        "acts": not phone.is_manual and not in_browser and script.has_actions,
        "in_browser": in_browser,
        "does": str(script) if script.has_actions or script.acts_in_calls else "",  # unless a person plays it
        "legs": [_leg_view(sandbox, call) for call in live],
        "story": sorted(lines, key=lambda line: line["at"])[-LINES_MAX:],
    }


def _names_of(sandbox: SandboxRuntime, sids: Iterable[str]) -> list[str]:
    calls = sandbox.model.state.calls
    known = (calls.get(sid) for sid in sids)  # the heard call may have been pruned
    return sorted(
        UNKNOWN_PERSON if call is None or call.is_foreign else name_of(sandbox, phone_of(call)) for call in known
    )


def _leg_view(sandbox: SandboxRuntime, call: Call) -> dict[str, Any]:
    heard = sandbox.model.audibility.current(call.sid)
    is_incoming = call.direction != "inbound"
    other = name_of(sandbox, phone_address(call.from_ if is_incoming else call.to or call.application_sid))
    if heard is not None:
        sound, words = sound_bubble(heard, _names_of(sandbox, heard.parties))
    elif call.status == "ringing":
        sound, words = "ring", f"ring ring! {other} is calling"
    else:
        sound, words = "silence", "being dialed"
    conference = sandbox.model.state.conferences.get(call.conference_sid)
    me = conference.participants.get(call.sid) if conference is not None else None
    states = {"on hold": me.is_held, "muted": me.muted, "coaching": me.coaching} if me is not None and me.is_in else {}
    hears = heard.parties if heard is not None else frozenset[str]()
    record = call.record
    is_speaking = me.is_speaking if me is not None else record is not None and record.spoken_until_s > sandbox.now_s
    return {
        "sid": call.sid,
        "other": other,
        "is_incoming": is_incoming,
        "status": call.status,
        "activity": call.shown_activity,
        "doing": ACTIVITY_WORDS[call.shown_activity] if call.status == "in-progress" else "",
        "sound": sound,  # `ring` for a ringing phone, else as in `sound_bubble`
        "words": words,
        "hears": sorted(phone_of(sandbox.model.state.calls[sid]) for sid in hears),
        "is_speaking": is_speaking,
        "wants_speech": call.takes_speech,
        "wants_keys": call.gather is not None and call.gather.takes("dtmf"),
        "conference_state": ", ".join(state for state, applies in states.items() if applies),
        "cannot": _disabled_actions(call, me),
    }


ACTIVITY_WORDS: dict[Activity, str] = {
    "idle": "",
    "sending-digits": "Twilio presses keys",
    "detecting": "detecting a machine",
    "fetching": "requesting TwiML",
    "speaking": "<Say>",
    "playing": "<Play>",
    "pausing": "<Pause>",
    "gathering": "<Gather>",
    "paying": "<Pay>",
    "recording": "<Record>",
    "relaying": "<ConversationRelay>",
    "enqueued": "<Enqueue>",
    "dialing": "<Dial>",
    "bridged": "bridged",
    "conference": "in a conference",
}
"""How the page shows what Twilio does with an answered leg."""


def _disabled_actions(call: Call, me: Participant | None) -> dict[str, str]:
    """Return why the phone's user can't do something, by action."""
    rings = call.direction != "inbound" and call.status in {"queued", "ringing"}
    not_ringing = "" if rings else "already answered" if call.direction != "inbound" else "you are calling"
    not_on_the_line = "answer first" if rings else "" if call.status == "in-progress" else "no one has answered yet"
    if call.record is not None:
        silent = ""
    elif call.takes_speech:
        silent = "type what you say"
    elif me is None or not me.is_in:
        silent = "only detected in conferences"
    elif me.muted or me.is_held:
        silent = "no one hears you: you are " + ("on hold" if me.is_held else "muted")
    else:
        silent = ""
    return {
        "answer": not_ringing,
        "reject": not_ringing,
        "hangup": "decline or answer it first" if rings else "",
        "press": not_on_the_line,
        "speak": not_on_the_line or silent,
    }


def _story(sandbox: SandboxRuntime, sid: str) -> Iterator[dict[str, str]]:
    """Yield what the phone's user experienced in one call, in order."""
    call = sandbox.model.state.calls[sid]
    if call.direction == "inbound":
        yield {"at": iso(call.created_at_s), "words": f"you call {call.to or call.application_sid}", "call": sid}
    else:
        caller = name_of(sandbox, phone_address(call.from_))
        yield {"at": iso(call.created_at_s), "words": f"{caller} calls you", "call": sid}
        if call.answered_at_s is not None:
            yield {"at": iso(call.answered_at_s), "words": "you answered", "call": sid}
    for heard in sandbox.model.audibility.intervals(sid)[-LINES_MAX:]:
        words = sound_bubble(heard.sound, _names_of(sandbox, heard.sound.parties))[1]
        yield {"at": iso(heard.since_s), "words": words, "call": sid}
    if call.ended_at_s is not None:
        yield {"at": iso(call.ended_at_s), "words": f"call ended: {call.status}", "call": sid}


_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
NEWEST_MAX = 200  #: Shown of each kind.


def delivery_view(sandbox: SandboxRuntime, number: int, entry: DeliveryEntry) -> dict[str, Any]:
    """Return the view of one webhook request."""
    url = split_url(entry.url)
    headers = {
        "X-Twilio-Signature": entry.signature,
        "X-Twilio-Webhooks-Signature-Settings": entry.signed_by,
        "I-Twilio-Idempotency-Token": entry.token,
    }
    return {
        **_pick_with_times(entry, "kind", "event", "method", "url", "params", "call_sid"),
        **pick(entry, "verdict", "status", "answer_type", "fault"),
        "number": number,
        "path": url.path,
        "who": _party_name(sandbox, entry.call_sid),
        "conference_sid": entry.get("ConferenceSid"),
        "headers": {name: value for name, value in headers.items() if value},
        "answer": _pretty_twiml(entry.answer),
        "attempts": [_pick_with_times(it, "status", "failure") for it in entry.attempts],
    }


def rest_view(sandbox: SandboxRuntime, number: int, entry: RestEntry) -> dict[str, Any]:
    """Return the view of one REST request."""
    call_sid = _CALL_SID.search(entry.path)
    return {
        **_pick_with_times(entry, "method", "path", "params", "status", "code", "applied", "fault"),
        "number": number,
        "who": _party_name(sandbox, call_sid[0]) if call_sid else "",
    }


def debugger_view(_sandbox: SandboxRuntime, number: int, entry: DebuggerEntry) -> dict[str, Any]:
    """Return the view of one Twilio debugger entry."""
    return {"number": number, **alert_view(entry)}


def alert_view(entry: DebuggerEntry) -> dict[str, Any]:
    """Return an error or warning for `GET /sandbox/debugger`."""
    return {"at": iso(entry.at_s), **pick(entry, "level", "code", "message", "call_sid", "url")}


def _party_name(sandbox: SandboxRuntime, call_sid: str) -> str:
    call = sandbox.model.state.calls.get(call_sid)
    return name_of(sandbox, phone_of(call)) if call is not None else ""


def _pick_with_times(entry: DeliveryAttempt | DeliveryEntry | RestEntry, *names: str) -> dict[str, Any]:
    return {"at": iso(entry.at_s), **pick(entry, *names), "duration_ms": round(entry.duration_ms, 1)}


def _pretty_twiml(body: str) -> str:
    """Return TwiML with one element per line; other or cut bodies unchanged."""
    if not body.lstrip().startswith("<") or len(body) >= RESPONSE_BYTES_MAX or "<!" in body:
        return body
    try:
        document = ElementTree.fromstring(body)  # noqa: S314  short, and entities were excluded above
    except ElementTree.ParseError:
        return body
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode")
