"""Draws what happens to a call as a Mermaid sequence diagram, from a real run.

A flow is played scene by scene: someone does one thing (an operator sends a command, a phone is answered), and the
scene is over when nothing is under way any more. Drawn are the requests that Conferral sends, the documents that Twilio
asks it for, the phones that are dialed, and at each scene's end what has become of commands, the states that the
session went through, the sentences that were said, and who hears whom.

What races in the real world would differ from run to run, so it is put in order:

- status callbacks, music and the documents that play it are left out; what follows from them is drawn
- what nothing waits for stands at the end of its scene: that `endConferenceOnExit` is set, which is a second net, and
  what Twilio asks about a leg that is only to be hung up
- neighboring dials and hang-ups, which leave side by side, stand in alphabetical order
- the hang-up of a customer whose message is over is left out: the document after the message hangs up, too
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from conferral.operations.explain.people import audibility
from conferral.storage import command_stream
from conferral.telephony.account_lists import PAGE_SIZE
from conferral.telephony.callback_urls import VOICEMAIL_PATH
from offhook import CallHandle
from offhook.request_log import DeliveryEntry, RestEntry
from tests.support.flat_sessions import session_of
from tests.support.local_system import NUMBER, LocalSystem

#: The longest silence that moving a leg may cost, seconds: Twilio needs most of it, a busy machine the rest.
GAP_MAX_S = 0.5
_OTHERS = ("Twilio", "Conferral", "Operator")
#: Why a leg is over that no one has answered.
_UNANSWERED = {
    "busy": "is busy",
    "no-answer": "does not answer",
    "failed": "can't be reached",
    "canceled": "stops ringing",
}

#: Requests that may overtake each other, and those that nothing waits for.
_SIDE_BY_SIDE, _NET = "side by side", "net"
#: What is heard next to people, in words; everything else is a sentence of ours.
_SOUNDS = {"silence": "nothing", "ringback": "ringback", "ringing": "a phone ringing", "music": "music"}

#: What the words of the record have in them where this is heard.
_SOUND_WORDS = {"silence": "silence", "ringback": "ring", "ringing": "ring", "music": "music"}


@dataclass(slots=True)
class Line:
    """One request with all that follows from it at once."""

    at_s: float
    #: Lines of the diagram.
    drawn: list[str]
    #: Neighbors of one kind have no order; empty for what stands by itself.
    kind: str = ""
    #: Whether it stands at the end of its scene.
    is_last: bool = False
    #: Whom it dials, by address.
    dials: str = ""


@dataclass(slots=True)
class SequenceRecorder:
    """Records one session's flow.

    Args:
        system: Where it is played, with nothing under way.
        people: What those who take part are called, by address, in the order of their columns.
    """

    system: LocalSystem
    people: dict[str, str]
    session_id: str = ""
    #: Commands whose outcome is open, by id.
    open_commands: dict[str, str] = field(default_factory=dict)
    scenes: list[list[str]] = field(default_factory=list)
    _answers: list[tuple[DeliveryEntry, bytes]] = field(default_factory=list)
    _seen: tuple[int, int, int] = (0, 0, 0)
    _states: list[str] = field(default_factory=list)
    _heard: str = ""

    def __post_init__(self) -> None:
        delivery = self.system.sandbox.webhook_sender
        send = delivery.send

        async def send_and_keep(target: Any, entry: DeliveryEntry) -> Any:
            answer = await send(target, entry)
            self._answers.append((entry, answer.body))
            return answer

        delivery.send = send_and_keep  # type: ignore[method-assign]

    # ---- playing -------------------------------------------------------------------------------------------------

    async def scene(
        self,
        act: str,
        do: Callable[[], Awaitable[object]],
        until: Callable[[], Awaitable[bool]],
        silent: frozenset[str] = frozenset(),
    ) -> None:
        """Plays one scene and draws it.

        Args:
            act: The line that draws what someone does.
            do: Does it.
            until: What the scene is about has come.
            silent: Those who hear nothing at its end.
        """
        began_s, heard_before = self.system.listening.now(), self._whom_each_hears()
        await do()
        await self.system.eventually(until, f"the end of the scene: {act}")
        await self.come_to_rest(silent)
        await self._agree_on_hearing(act)
        await self.come_to_rest(silent)
        self._assert_transition(act, began_s, heard_before, silent)
        drawn = [act]
        for line in self._lines():
            drawn += line.drawn
        drawn += [
            *await self._outcomes(),
            *await self._states_gone_through(),
            *self._sentences(began_s),
            self._who_hears_whom(),
        ]
        self.scenes.append([line for line in drawn if line])

    async def skip(self, opening: str, silent: frozenset[str] = frozenset()) -> None:
        """Leaves out what went before: the diagram begins here, with a note in these words."""
        await self.come_to_rest(silent)
        self._lines()
        await self._outcomes()
        await self._states_gone_through()
        self._who_hears_whom()  # the opening says it
        self.scenes = [[self._note(opening)]]

    async def come_to_rest(self, silent: frozenset[str] = frozenset()) -> None:
        """Waits until nothing is under way between Twilio and Conferral, and no one is between two audio files.

        Args:
            silent: Those who hear nothing for longer than that.
        """

        async def is_at_rest() -> bool:
            before = self._counts()
            await self.system.sandbox.wait_until_idle()
            for partition in range(self.system.keys.partitions):
                if await self.system.client.xlen(self.system.keys.events(partition)):
                    return False
                if await self.system.client.hlen(self.system.keys.outbox(partition)):
                    return False
            is_quiet = not self.system.sandbox.webhook_sender.tasks and before == self._counts()
            heard = self.heard_now()
            return is_quiet and all(heard[name] != "nothing" for name in heard.keys() - silent)

        await self.system.eventually(is_at_rest, "nothing is under way")

    async def _agree_on_hearing(self, act: str) -> None:
        """Waits until the session says what Twilio lets people hear: the last callback may still be on its way."""
        difference = ""

        async def agrees() -> bool:
            nonlocal difference
            difference = await self._hearing_difference()
            return not difference

        try:
            await self.system.eventually(agrees, "the session agrees with Twilio")
        except AssertionError:
            raise AssertionError(f"{act}: {difference}") from None

    async def _hearing_difference(self) -> str:
        """Where the session says something else than Twilio's model; empty for nowhere."""
        session = session_of(await self.system.session(self.session_id))
        for reported in audibility(session):
            call_sid = session.parties[reported.party].call_sid
            if session.voicemail is not None:
                continue  # the session knows that a message is left, not what is heard
            what = self.system.listening.hears(CallHandle(self.system.sandbox, call_sid)) if call_sid else None
            if what is None:
                if reported.hears:
                    return f"no one is on the line, and {reported.text}"
                continue
            names = {party.call_sid: name for name, party in session.parties.items()}
            heard = what if isinstance(what, frozenset) else frozenset()
            there = {names.get(sid, sid) for sid in heard if sid != "ringing"}
            if there != set(reported.hears):
                return f"{reported.text}, in truth {what}"
            if session.parties[reported.party].waits_for_start:
                if not any(f"{word} and hears" in reported.text for word in ("waiting", "parked")):
                    return f"{reported.text}, in truth {what}"
                continue  # other audio is heard only when the current file has ended, and here it never does
            sound = "ringing" if "ringing" in heard else what if isinstance(what, str) else ""
            if _SOUND_WORDS.get(sound, "") not in reported.text:
                return f"{reported.text}, in truth {what}"
        return ""

    def _whom_each_hears(self) -> dict[str, frozenset[str]]:
        """The SIDs of the legs that each leg hears now."""
        heard = {call.sid: self.system.listening.hears(call) for call in self._legs()}
        return {sid: what if isinstance(what, frozenset) else frozenset() for sid, what in heard.items()}

    def _assert_transition(
        self, act: str, began_s: float, before: dict[str, frozenset[str]], silent: frozenset[str]
    ) -> None:
        """In a scene, no one hears a leg that they hear neither before nor after it, or is in silence for long."""
        listening, after = self.system.listening, self._whom_each_hears()
        for sid in self.system.sandbox.model.state.calls:
            allowed = before.get(sid, frozenset()) | after.get(sid, frozenset()) | {"ringing"}
            for span in listening.heard(sid, began_s):
                if isinstance(span.what, frozenset):
                    assert span.what <= allowed, f"{act}: {listening.described()}"
            if sid in after and self._named(sid) not in silent:
                gap_s = listening.longest_silence(sid, began_s) / self.system.sandbox.speed
                assert gap_s < GAP_MAX_S, f"{act}: {gap_s:.2f} s of silence\n{listening.described()}"

    def _counts(self) -> tuple[int, int]:
        log = self.system.sandbox.request_log
        return len(log.rest), len(log.deliveries)

    def diagram(self) -> str:
        """All that was recorded, as Mermaid's text."""
        text = [line for scene in self.scenes for line in scene]
        columns = [*dict.fromkeys(self.people.values()), *_OTHERS]
        people = {_id(name) for name in self.people.values()}
        used = people | set(re.findall(r"\w+", " ".join(line.partition(":")[0] for line in text)))
        head = ["sequenceDiagram", *(_column(name) for name in columns if _id(name) in used)]
        return "\n".join([*head, *(f"    {line}" for line in text)]) + "\n"

    # ---- drawing -------------------------------------------------------------------------------------------------

    def _lines(self) -> list[Line]:
        """What is new, in order."""
        log = self.system.sandbox.request_log
        rest, answers, dials = self._seen
        asked = [entry for entry in log.rest[rest:] if not (_is_of_account(entry) or self._follows_message(entry))]
        new = [
            *map(self._request, asked),
            *(self._document(entry, body) for entry, body in self._answers[answers:] if self._is_drawn(entry)),
        ]
        lines = sorted(new, key=lambda line: line.at_s)
        for dial in log.dials[dials:]:
            cause = next(line for line in reversed(lines) if line.dials == dial.to and line.at_s <= dial.at_s)
            name = _id(self.people[dial.to])
            call = self.system.sandbox.call(dial.call_sid)
            cause.drawn.append(f"Twilio->>{name}: rings")
            if call.record.answered_at_s is None and call.status in _UNANSWERED:
                cause.drawn.append(f"{name}-->>Twilio: {_UNANSWERED[call.status]}")
        self._seen = (len(log.rest), len(self._answers), len(log.dials))
        return _ordered(lines)

    def _request(self, entry: RestEntry) -> Line:
        what, kind = self._asked(entry)
        drawn = [f"Conferral->>Twilio: {what}"]
        if entry.status >= 400:  # what follows may answer to it, so it keeps its place
            drawn.append(f"Twilio--xConferral: {entry.status}, code {entry.code}")
            return Line(entry.at_s, drawn, dials=entry.get("To"))
        return Line(entry.at_s, drawn, kind, is_last=kind == _NET, dials=entry.get("To"))

    def _asked(self, entry: RestEntry) -> tuple[str, str]:
        """A request in words, and its kind."""
        if entry.method == "GET":
            return "read the calls", _SIDE_BY_SIDE
        if to := entry.get("To"):
            shown = "" if entry.get("From") == NUMBER else f", caller ID: {self.people[entry.get('From')]}"
            way = "to the gate" if entry.path == "/Calls.json" else "into the conference"
            heard = " (ringing is heard there)" if entry.get("EarlyMedia") == "true" else ""
            return f"dial {self.people[to]} {way}{shown}{heard}", _SIDE_BY_SIDE
        if entry.get("Status") == "completed":
            in_conference = "/Conferences/" in entry.path
            return ("end the conference" if in_conference else f"hang up {self._whose(entry.path)}"), _SIDE_BY_SIDE
        if "/Recordings" in entry.path:
            return self._recorded(entry), ""
        if entry.get("AnnounceUrl"):
            whom = self._whose(entry.path) if "/Participants/" in entry.path else "everyone"
            return f"play an announcement to {whom}", ""
        if entry.get("Url") and entry.path.startswith("/Calls/"):
            return f"redirect {self._whose(entry.path)} to the survey", ""
        if document := entry.get("Twiml"):
            return f"move {self._whose(entry.path)}: {self._said(document.encode())[0]}", ""
        who = self._whose(entry.path)
        if flag := entry.get("EndConferenceOnExit"):
            act = "set" if flag == "true" else "clear"
            return f"{act} endConferenceOnExit for {who}", _NET if act == "set" else _SIDE_BY_SIDE
        if entry.get("Hold") == "true":
            return f"hold {who} with {_wait_audio(entry.get('HoldUrl'))}", ""
        if entry.get("Hold"):
            return f"unhold {who}", ""
        if entry.get("Coaching") == "true":
            return f"let {who} coach {self._named(entry.get('CallSidToCoach'))}", ""
        muted = entry.get("Muted") == "true"
        return (f"mute {who}" if muted else f"unmute {who}"), ""

    def _recorded(self, entry: RestEntry) -> str:
        """What becomes of a recording."""
        resource = entry.path.partition("/Recordings")[0]
        whose = "the conference" if "/Conferences/" in resource else self._whose(resource)
        status = entry.get("Status")
        act = {"": "record", "paused": "pause the recording of", "in-progress": "resume the recording of"}
        return f"{act.get(status, 'stop the recording of')} {whose}"

    def _document(self, entry: DeliveryEntry, body: bytes) -> Line:
        says, dials = self._said(body)
        path = urlsplit(entry.url).path
        drawn = [
            f"Twilio->>Conferral: {path} of {self._named(entry.call_sid)}",
            f"Conferral-->>Twilio: {says}",
        ]
        return Line(entry.at_s, drawn, dials=dials, is_last=says == "Hangup")

    def _said(self, document: bytes) -> tuple[str, str]:
        """TwiML in words, and whom it dials."""
        verbs, dials = [], ""
        for verb in ElementTree.fromstring(document):
            inner = verb[0] if len(verb) else None
            if verb.tag == "Dial" and inner is not None and inner.tag == "Conference":
                wait_audio = _wait_audio(inner.get("waitUrl", ""))
                recorded = ", recorded from its start" if inner.get("record") == "record-from-start" else ""
                verbs.append(
                    f"Dial into the conference{f', {wait_audio} until it starts' if wait_audio else ''}{recorded}"
                )
            elif verb.tag == "Dial" and inner is not None:
                dials = f"client:{inner.text}" if inner.tag == "Client" else str(inner.text)
                verbs.append(f"Dial {self.people[dials]}")
            elif verb.tag == "Gather":
                verbs.append("Gather one key")
            else:
                verbs.append(verb.tag)
        return ", then ".join(verbs) or "an empty Response", dials

    async def _outcomes(self) -> list[str]:
        """Commands of which nothing more comes, and what has become of them."""
        lines = []
        for command_id, kind in list(self.open_commands.items()):
            outcome = await command_stream.read_result(self.system.client, self.system.keys, command_id)
            if outcome.is_final:
                del self.open_commands[command_id]
                became = "is done" if outcome.status == "done" else f"{outcome.status} ({outcome.reason})"
                lines.append(f"Conferral-->>Operator: {kind} {became}")
        return sorted(lines)

    async def _states_gone_through(self) -> list[str]:
        if not self.session_id:
            return []
        states = []
        for entry in await self.system.log(self.session_id):
            states += [entry["to"]] if not states or states[-1] != entry["to"] else []
        new, is_first = states[max(0, len(self._states) - 1) :], not self._states
        self._states = states
        return [f"Note over Conferral: {' → '.join(new)}"] if len(new) > 1 or is_first else []

    def _sentences(self, began_s: float) -> list[str]:
        """What was said to whom since the scene began, once each."""
        said = {}
        for sid in self.system.sandbox.model.state.calls:
            for from_s, _, what in self.system.listening.heard(sid):
                kind, _, words = what.partition(" ") if isinstance(what, str) and from_s >= began_s else ("", "", "")
                if kind in ("said", "digits"):
                    heard = f'hears "{words.strip()}"' if kind == "said" else f"gets the digits {words}"
                    said[f"Note over {_id(self._named(sid))}: {heard}"] = None
        return sorted(said)

    def heard_now(self) -> dict[str, str]:
        """What everyone on the line hears, by name."""
        return {self._named(call.sid): self._hears(call) for call in self._legs()}

    def _who_hears_whom(self) -> str:
        """The note that says it, if it is not what was said last."""
        heard, before = self.heard_now(), self._heard
        self._heard = "<br/>".join(f"{name} hears {heard[name]}" for name in self.people.values() if heard.get(name))
        return self._note(self._heard) if self._heard not in ("", before) else ""

    def _note(self, text: str) -> str:
        ends = list(dict.fromkeys(self.people.values()))
        over = ",".join(_id(name) for name in dict.fromkeys((ends[0], ends[-1])))
        return f"Note over {over}: {text}"

    def _legs(self) -> list[CallHandle]:
        return [call for call in self.system.sandbox.live_calls() if self.system.listening.hears(call) is not None]

    def _hears(self, call: CallHandle) -> str:
        what = self.system.listening.hears(call)
        if isinstance(what, frozenset):
            others = sorted(self._named(sid) for sid in what if sid != "ringing")
            return " and ".join([*others, "a phone ringing"] if "ringing" in what else others)
        return _SOUNDS.get(what or "silence", "a question")

    def _is_drawn(self, entry: DeliveryEntry) -> bool:
        is_ours = entry.url.startswith(self.system.public_url)
        return is_ours and entry.kind == "voice" and entry.event not in ("wait", "hold", "announce")

    def _follows_message(self, entry: RestEntry) -> bool:
        """Whether a request hangs up a leg that has been asked what comes after its message."""
        recorded = {one.call_sid for one, _ in self._answers if urlsplit(one.url).path == VOICEMAIL_PATH}
        return entry.get("Status") == "completed" and any(sid in entry.path for sid in recorded)

    def _whose(self, path: str) -> str:
        return self._named(path.rpartition("/")[2].removesuffix(".json"))

    def _named(self, sid: str) -> str:
        record = self.system.sandbox.call(sid).record
        return self.people.get(record.from_ if record.direction == "inbound" else record.to, "an unknown party")


def _wait_audio(url: str) -> str:
    audio = parse_qs(urlsplit(url).query).get("audio", [""])[0]
    return {"ringback": "ringback", "music": "music"}.get(audio, audio)


def _ordered(lines: list[Line]) -> list[Line]:
    now = [line for line in lines if not line.is_last]
    ordered: list[Line] = []
    for kind, neighbors in groupby(now, key=lambda line: line.kind):
        group = list(neighbors)
        ordered += sorted(group, key=lambda line: line.drawn) if kind else group
    return ordered + sorted((line for line in lines if line.is_last), key=lambda line: line.drawn)


def _column(name: str) -> str:
    return f"    participant {name}" if name == _id(name) else f"    participant {_id(name)} as {name}"


def _id(name: str) -> str:
    return name.replace(" ", "")


def _is_of_account(entry: RestEntry) -> bool:
    """Whether a request reads the account or its lists, whatever flow runs at the time."""
    of_account = (".json", "/IncomingPhoneNumbers.json")
    return entry.method == "GET" and (entry.path in of_account or entry.get("PageSize") == str(PAGE_SIZE))
