"""Handles on a call and on a conference; any thread may use them."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol, get_args

from offhook.faults import Text
from offhook.model import messages, state
from offhook.model.state import Activity, Sound, SoundInterval, SoundKind
from offhook.model.twilio_model import TwilioModel
from offhook.phones import SandboxWithPhones, check_keys, phone_address, phone_of

_KINDS = tuple(kind for kind in get_args(SoundKind) if kind != "parties")
_UNANSWERED, _ANSWERED = ("queued", "ringing"), "in-progress"


class HasCalls(Protocol):
    """A phone."""

    @property
    def call_sids(self) -> Sequence[str]:
        """SIDs of its calls."""


class _Handle:
    def __init__(self, sandbox: SandboxWithPhones, sid: str) -> None:
        self._sandbox = sandbox
        self.sid = sid  #: Twilio's SID of it.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle) and other.sid == self.sid

    def __hash__(self) -> int:
        return hash(self.sid)

    @property
    def _model(self) -> TwilioModel:
        """The model, after what it is doing now, which would only half show."""
        return self._sandbox.run(lambda: self._sandbox.model)


class CallHandle(_Handle):
    """One leg: a call from a phone, or to one; equal to others with its SID."""

    def __repr__(self) -> str:
        call, heard = self.record, self.hears_now
        what = f", {self.activity}" if call.status == "in-progress" else ""
        hears = f", hears {self._words(heard)}" if heard is not None else ""
        return f"<Call {call.from_} to {call.to or call.application_sid}: {call.status}{what}{hears}>"

    @property
    def record(self) -> state.Call:
        """The model's record, with everything else; don't change it."""
        return self._model.state.calls[self.sid]

    @property
    def from_(self) -> str:
        """The caller's address."""
        return self.record.from_

    @property
    def to(self) -> str:
        """The address that was dialed."""
        return self.record.to

    @property
    def direction(self) -> str:
        """Twilio's direction: `inbound`, `outbound-api`, or `outbound-dial`."""
        return self.record.direction

    @property
    def status(self) -> str:
        """Twilio's status: `ringing`, `in-progress`, `completed`, `busy`."""
        return self.record.status

    @property
    def activity(self) -> Activity:
        """What Twilio does with it: `gathering`, `recording`, `conference`."""
        return self.record.shown_activity

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return not self.record.is_final

    @property
    def parent(self) -> "CallHandle | None":
        """The call whose `<Dial>` placed it."""
        sid = self.record.parent_sid
        return CallHandle(self._sandbox, sid) if sid else None

    @property
    def hears_now(self) -> Sound | None:
        """What its user hears; None before its answer and after its end."""
        return self._model.audibility.current(self.sid)

    @property
    def sounds_heard(self) -> tuple[SoundInterval, ...]:
        """Everything that its user has heard, in order of time."""
        return self._model.audibility.intervals(self.sid)

    def hears(self, what: "SoundKind | CallHandle | HasCalls", content: str = "") -> bool:
        """Whether its user hears this now.

        That is a party, or `music`, `ringback`, `silence`, `speech`, or `digits`; `content` is a part of the sentence,
        of the music's URL, or of the digits. Raise ValueError for another kind of sound.
        """
        return (heard := self.hears_now) is not None and _is_heard(heard, what, content)

    def has_heard(self, what: "SoundKind | CallHandle | HasCalls", content: str = "") -> bool:
        """Whether its user hears this now, or ever heard it."""
        return any(_is_heard(it.sound, what, content) for it in self.sounds_heard)

    def was_told(self, text: str) -> bool:
        """Whether Twilio said a sentence with this text to its user."""
        return self.has_heard("speech", text)

    @property
    def heard(self) -> list[str]:
        """All that its user heard, in order, in words."""
        return [self._words(it.sound) for it in self.sounds_heard]

    def _words(self, sound: Sound) -> str:
        return heard_words(sound, sorted(phone_of(self._model.state.calls[sid]) for sid in sound.parties))

    @property
    def conference(self) -> "ConferenceHandle | None":
        """The conference that it is in, or rings for."""
        sid = self.record.conference_sid
        return ConferenceHandle(self._sandbox, sid) if sid else None

    @property
    def _participant(self) -> state.Participant | None:
        return it.record.participants.get(self.sid) if (it := self.conference) is not None else None

    @property
    def is_held(self) -> bool:
        """Whether it is on hold in its conference."""
        return (me := self._participant) is not None and me.is_held

    @property
    def is_muted(self) -> bool:
        """Whether it is muted in its conference."""
        return (me := self._participant) is not None and me.muted

    @property
    def label(self) -> str:
        """Its label in its conference; empty without one."""
        return me.label if (me := self._participant) is not None else ""

    def move(self, *, url: str = "", twiml: str = "") -> None:
        """Move it to other TwiML, as another program does by REST.

        Raise ValueError if Twilio would refuse it. The request log doesn't show it.
        """
        if bool(url) == bool(twiml):
            raise ValueError("give either url or twiml")
        params = (("Url", url),) if url else (("Twiml", twiml),)
        request = messages.RestRequest("POST", f"/Calls/{self.sid}.json", params)
        answer = self._sandbox.run(lambda: self._sandbox.apply(request)).rest
        if answer is not None and answer.status != HTTPStatus.OK:
            raise ValueError((answer.body or {})["message"])

    def answer(self) -> None:
        """Answer; ValueError unless it was dialed and is unanswered."""
        phone = self._sandbox.phones.get(phone_address(self.to))
        kind = phone.default.kind if phone else "person"
        self._act("answer", _UNANSWERED, messages.PhoneAnswers(self.sid, kind))

    def reject(self) -> None:
        """Decline (SIP 603 or 600); ValueError as for `answer`."""
        self._act("decline", _UNANSWERED, messages.PhoneRefuses(self.sid, 603))

    def hang_up(self) -> None:
        """Hang up; ValueError if it has ended."""
        self._act("hang up", (*_UNANSWERED, _ANSWERED), messages.PhoneHangsUp(self.sid))

    def press(self, digits: Text) -> None:
        """Press keys (`0` to `9`, `*`, `#`); ValueError unless answered."""
        check_keys(digits)
        self._act("press keys", (_ANSWERED,), messages.PhonePresses(self.sid, digits))

    def speak(self, text: str = "") -> None:
        """Speak: conferences with the event `speaker` report it.

        During a `<Record>`, `text` is what the recording has, and during a `<Gather>` of speech, its `SpeechResult`; it
        takes the time that a `<Say>` would take. Raise ValueError unless answered.
        """
        self._act("speak", (_ANSWERED,), messages.PhoneSpeaks(self.sid, text))

    def fall_silent(self) -> None:
        """Stop speaking; reported like the start."""
        self._act("fall silent", (_ANSWERED,), messages.PhoneFallsSilent(self.sid))

    def _act(self, named: str, statuses: tuple[str, ...], input_: messages.PhoneEvent) -> None:
        """Do it; raise ValueError for an act that has no effect."""

        def act() -> None:
            call = self.record
            if call.status not in statuses:
                raise ValueError(f"can't {named}: the call is {call.status}")
            if statuses == _UNANSWERED and call.direction == "inbound":
                raise ValueError(f"can't {named}: the call comes from this phone")
            self._sandbox.apply(input_)

        self._sandbox.run(act)


class ConferenceHandle(_Handle):
    """A conference, live or ended; equal to others with its SID."""

    def __repr__(self) -> str:
        return f"<Conference {self.name} {self.status}: {self.participants or 'no participants'}>"

    @property
    def record(self) -> state.Conference:
        """The model's record, with everything else; don't change it."""
        return self._model.state.conferences[self.sid]

    @property
    def name(self) -> str:
        """Its name in TwiML, the REST API's `friendly_name`."""
        return self.record.name

    @property
    def status(self) -> str:
        """Twilio's status: `init`, `in-progress`, or `completed`."""
        return self.record.status

    @property
    def participants(self) -> list[CallHandle]:
        """The calls in it, in order of joining, without those that ring."""
        return [CallHandle(self._sandbox, it.call_sid) for it in self._sandbox.run(lambda: self.record.joined())]


def heard_words(heard: Sound, names: Sequence[str]) -> str:
    """Return what is heard, as it follows "hears"; `names` are of the parties."""
    if heard.is_ringback:
        return "a phone ringing"
    if heard.kind == "parties":
        *others, last = [*names, *(["a phone ringing"] if heard.ringing else [])]
        return f"{', '.join(others)}{',' * (len(others) > 1)} and {last}" if others else last
    if heard.kind == "digits":
        return f"the digits {' '.join(heard.content)}"  # one by one, as they are heard
    return f"“{heard.content}”" if heard.kind == "speech" else heard.kind


def _is_heard(sound: Sound, what: str | CallHandle | HasCalls, content: str) -> bool:
    if not isinstance(what, str):
        return not sound.parties.isdisjoint([what.sid] if isinstance(what, CallHandle) else what.call_sids)
    if what not in _KINDS:
        raise ValueError(f"no sound is {what!r}: there are {', '.join(_KINDS)}, and phones and calls")
    if what == "ringback":
        return sound.is_ringback or sound.ringing
    return str(sound) == what and content in sound.content
