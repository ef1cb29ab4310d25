"""Calls, phones, and conferences, as the story of a test tells of them.

They read the sandbox's own state, in its thread; no one keeps a copy.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from offhook.model import state
from offhook.phones import CallHandle, PhoneScript, phone_address, phone_of
from offhook.testing.served import ServedSandbox, ServerThread
from offhook.views import heard_words

T = TypeVar("T")
_KINDS = tuple(kind for kind in get_args(state.SoundKind) if kind != "parties")


class _WithSid:
    def __init__(self, server: ServerThread, sid: str) -> None:
        self._server = server
        self.sid = sid  #: Twilio's SID of it.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WithSid) and other.sid == self.sid

    def __hash__(self) -> int:
        return hash(self.sid)


class Call(_WithSid):
    """One leg: a call from a phone, or to one; equal to others with its SID."""

    def __repr__(self) -> str:
        return self._read(lambda it: describe(self._server.sandbox, it.record))

    def _read(self, read: Callable[[CallHandle], T]) -> T:
        return self._server.run(lambda: read(self._server.sandbox.call(self.sid)))

    @property
    def from_(self) -> str:
        """The caller's address."""
        return self._read(lambda it: it.record.from_)

    @property
    def to(self) -> str:
        """The address that was dialed."""
        return self._read(lambda it: it.record.to)

    @property
    def direction(self) -> str:
        """Twilio's direction: `inbound`, `outbound-api`, or `outbound-dial`."""
        return self._read(lambda it: it.record.direction)

    @property
    def status(self) -> str:
        """Twilio's status: `ringing`, `in-progress`, `completed`, `busy`."""
        return self._read(lambda it: it.status)

    @property
    def activity(self) -> str:
        """What Twilio does with it: `gathering`, `recording`, `conference`."""
        return self._read(lambda it: it.activity)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self._read(lambda it: not it.record.is_final)

    @property
    def parent(self) -> "Call | None":
        """The call whose `<Dial>` placed it."""
        sid = self._read(lambda it: it.record.parent_sid)
        return Call(self._server, sid) if sid else None

    def hears(self, what: "state.SoundKind | Call | Phone", content: str = "") -> bool:
        """Whether its user hears this now.

        That is a party, or `music`, `ringback`, `silence`, `speech`, or `digits`; `content` is a part of the sentence,
        of the music's URL, or of the digits. Raise ValueError for another kind of sound.
        """
        return self._read(lambda it: it.hears_now is not None and _is_heard(it.hears_now, what, content))

    def has_heard(self, what: "state.SoundKind | Call | Phone", content: str = "") -> bool:
        """Whether its user hears this now, or ever heard it."""
        return self._read(lambda it: any(_is_heard(each.sound, what, content) for each in it.sounds_heard))

    def was_told(self, text: str) -> bool:
        """Whether Twilio said a sentence with this text to its user."""
        return self.has_heard("speech", text)

    @property
    def heard(self) -> list[str]:
        """All that its user heard, in order, in words."""
        return self._read(lambda it: [_words(self._server.sandbox, each.sound) for each in it.sounds_heard])

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

    @property
    def _participant(self) -> state.Participant | None:
        conference = self.conference
        return conference.record.participants.get(self.sid) if conference is not None else None

    @property
    def conference(self) -> "Conference | None":
        """The conference that it is in, or rings for."""
        sid = self._read(lambda it: it.record.conference_sid)
        return Conference(self._server, sid) if sid else None

    @property
    def record(self) -> state.Call:
        """The model's record, with everything else; don't change it."""
        return self._read(lambda it: it.record)

    def answer(self) -> None:
        """Answer; ValueError unless it was dialed and is unanswered."""
        self._read(CallHandle.answer)

    def reject(self) -> None:
        """Decline; ValueError unless it was dialed and is unanswered."""
        self._read(CallHandle.reject)

    def hang_up(self) -> None:
        """Hang up; ValueError if it has ended."""
        self._read(CallHandle.hang_up)

    def press(self, digits: str) -> None:
        """Press keys, one after the other; ValueError unless answered."""
        self._read(lambda it: it.press(digits))

    def speak(self, text: str = "") -> None:
        """Say this to a `<Record>` or `<Gather>`; in a conference, speak."""
        self._read(lambda it: it.speak(text))

    def fall_silent(self) -> None:
        """Stop speaking."""
        self._read(CallHandle.fall_silent)

    def move(self, *, url: str = "", twiml: str = "") -> None:
        """Move it to other TwiML, as another program does by REST."""
        self._read(lambda it: it.move(url=url, twiml=twiml))


class Phone:
    """One address, at which a test or a script acts for people."""

    def __init__(self, server: ServerThread, address: str) -> None:
        self._server = server
        self.address = phone_address(address)  #: `+1…`, `client:…`, or `sip:…`.

    def __repr__(self) -> str:
        return f"<Phone {self.address}: {self.calls or 'no calls'}>"

    def script(
        self,
        *,
        keys: str | Sequence[str] = (),
        speaks: str | Sequence[str] = (),
        times: int | None = None,
        **does: Any,
    ) -> "Phone":
        """Set its script, or that of its next `times` calls.

        `does` are other fields of `offhook.PhoneScript`: `answer_after_s`, `outcome`, `hang_up_after_s`, `digits`.
        """
        self._server.run(
            lambda: self._server.sandbox.phone(self.address).script(keys=keys, speaks=speaks, times=times, **does)
        )
        return self

    def script_in_turn(self, *scripts: PhoneScript) -> "Phone":
        """Set a script for each of its next calls; the last one stays."""
        self._server.run(lambda: self._server.sandbox.phone(self.address).script_in_turn(*scripts))
        return self

    def call(
        self,
        to: str = "",
        *,
        url: str = "",
        params: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Call:
        """Call a number or SIP URI of the account; return the call.

        A browser (`client:…`) calls an application (`AP…`) with its `params`, a SIP phone sends `headers` (`X-…`).
        `url` replaces the voice URL. Raise `offhook.UnknownNumberError` if there is no such number.
        """
        sandbox = self._server.sandbox
        if self.address.startswith("client:"):
            placing = sandbox.call_from_browser(self.address.removeprefix("client:"), "", params, app=to, url=url)
        else:
            placing = sandbox.call_in(self.address, to, tuple(params.items()), url=url, headers=headers)
        return Call(self._server, self._server.wait(placing).sid)

    @property
    def calls(self) -> list[Call]:
        """Its calls, from it and to it, oldest first, with ended ones."""
        sids = self._server.run(lambda: list(_call_sids(self._server.sandbox, self.address)))
        return [Call(self._server, sid) for sid in sids]

    @property
    def last_call(self) -> Call:
        """Its newest call; LookupError without one."""
        if not (calls := self.calls):
            raise LookupError(f"no call from or to {self.address}")
        return calls[-1]

    @property
    def rings(self) -> bool:
        """Whether it rings."""
        return any(call.direction != "inbound" and call.status == "ringing" for call in self.calls)

    @property
    def rang_for_s(self) -> float:
        """How long it has rung in its newest call, in Twilio's seconds."""
        return self._server.run(lambda: _rang_for_s(self._server.sandbox, self.address))


class Conference(_WithSid):
    """A conference, live or ended; equal to others with its SID."""

    def __repr__(self) -> str:
        return f"<Conference {self.name} {self.status}: {self.participants or 'no participants'}>"

    @property
    def record(self) -> state.Conference:
        """The model's record, with everything else; don't change it."""
        return self._server.run(lambda: self._server.sandbox.model.state.conferences[self.sid])

    @property
    def name(self) -> str:
        """Its name in TwiML, the REST API's `friendly_name`."""
        return self.record.name

    @property
    def status(self) -> str:
        """Twilio's status: `init`, `in-progress`, or `completed`."""
        return self.record.status

    @property
    def participants(self) -> list[Call]:
        """The calls in it, in order of joining, without those that ring."""
        sids = self._server.run(lambda: [it.call_sid for it in self.record.joined()])
        return [Call(self._server, sid) for sid in sids]


def describe(sandbox: ServedSandbox, call: state.Call) -> str:
    """Return a call in words: of whom, its status, and what its user hears."""
    heard = sandbox.model.audibility.current(call.sid)
    what = f", {call.shown_activity}" if call.status == "in-progress" else ""
    hears = f", hears {_words(sandbox, heard)}" if heard is not None else ""
    return f"<Call {call.from_} to {call.to or call.application_sid}: {call.status}{what}{hears}>"


def _words(sandbox: ServedSandbox, sound: state.Sound) -> str:
    return heard_words(sound, sorted(phone_of(sandbox.model.state.calls[sid]) for sid in sound.parties))


def _is_heard(sound: state.Sound, what: str | Call | Phone, content: str) -> bool:
    if not isinstance(what, str):
        return not sound.parties.isdisjoint({what.sid} if isinstance(what, Call) else {it.sid for it in what.calls})
    if what not in _KINDS:
        raise ValueError(f"no sound is {what!r}: there are {', '.join(_KINDS)}, and phones and calls")
    if what == "ringback":
        return sound.is_ringback or sound.ringing
    return str(sound) == what and content in sound.content


def _call_sids(sandbox: ServedSandbox, address: str) -> Sequence[str]:
    phone = sandbox.phones.get(address)
    return phone.call_sids if phone is not None else ()


def _rang_for_s(sandbox: ServedSandbox, address: str) -> float:
    dialed = [sandbox.model.state.calls[sid] for sid in _call_sids(sandbox, address)]
    dialed = [call for call in dialed if call.direction != "inbound"]
    if not dialed or dialed[-1].rang_at_s is None:
        return 0.0
    ends = (dialed[-1].answered_at_s, dialed[-1].ended_at_s, sandbox.now_s)
    return next(at_s for at_s in ends if at_s is not None) - dialed[-1].rang_at_s
