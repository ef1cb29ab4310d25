"""Plays a scenario on an model line by line, and keeps the requests that it made."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from offhook.model import foreign_calls
from offhook.model.behavior import Behavior
from offhook.model.messages import (
    CallbackRequest,
    DebuggerEntry,
    FetchRequest,
    InboundCall,
    Input,
    PhoneAnswers,
    PhoneHangsUp,
    PhonePresses,
    PhoneRings,
    RestRequest,
    Result,
    RingPhone,
    TimePassed,
    TwimlFetched,
)
from offhook.model.numbers import Number
from offhook.model.state import Call
from offhook.model.twilio_model import TwilioModel

APP = "http://app.example"
ACCOUNT_SID = "AC" + "0" * 32
BUSINESS = "+15550100"
CUSTOMER = "+14155550123"
EVENTS = "initiated ringing answered completed"


def bridge_twiml(to: str = "<Client>alice</Client>", attributes: str = 'answerOnBridge="true" action="/action"') -> str:
    return f"<Response><Dial {attributes}>{to}</Dial></Response>"


def conference_twiml(attributes: str = "", name: str = "room", dial: str = f'action="{APP}/after"') -> str:
    events = "start end join leave mute hold modify announcement speaker"
    callback = f"statusCallback='{APP}/conference' statusCallbackEvent='{events}'"
    return f"<Response><Dial {dial}><Conference {attributes} {callback}>{name}</Conference></Dial></Response>"


class ModelScenario:
    def __init__(self, behavior: Behavior | None = None, *, strict: bool = False) -> None:
        self.model = TwilioModel(ACCOUNT_SID, behavior=behavior, strict=strict)
        self.model.add_number(Number(BUSINESS, f"{APP}/voice", status_callback=f"{APP}/status"))
        self.now_s = 1_000.0
        self.fetches: list[FetchRequest] = []
        self.callbacks: list[CallbackRequest] = []
        self.errors: list[DebuggerEntry] = []
        self.rings: list[RingPhone] = []

    def happens(self, happened: Input, after_s: float = 0.0) -> Result:
        self.now_s += after_s
        result = self.model.handle(happened, self.now_s)
        for output in result.outputs:
            match output:
                case FetchRequest():
                    self.fetches.append(output)
                case CallbackRequest():
                    self.callbacks.append(output)
                case DebuggerEntry():
                    self.errors.append(output)
                case RingPhone():
                    self.rings.append(output)
        return result

    def add_foreign_calls(self, count: int) -> list[str]:
        with self.model.changing(self.now_s) as transaction:
            return foreign_calls.add_calls(transaction, count, age_s=0.0)

    def add_foreign_conference(self, name: str, participant_count: int = 2) -> str:
        with self.model.changing(self.now_s) as transaction:
            return foreign_calls.add_conference(transaction, name, participant_count, age_s=0.0)

    def passes(self, seconds: float) -> None:
        self.happens(TimePassed(), seconds)

    def call_in(self, twiml: str | None = None, from_: str = CUSTOMER) -> str:
        sid = self.happens(InboundCall(from_, BUSINESS)).call_sid
        if twiml is not None:
            self.serve("/voice", twiml)
        return sid

    def asked(self, path: str) -> FetchRequest:
        """The newest unanswered request of this path."""
        return next(fetch for fetch in reversed(self.fetches) if urlsplit(fetch.url).path == path)

    def sent_to(self, path: str) -> dict[str, str]:
        """The form of that request."""
        return dict(self.asked(path).params)

    def asked_paths(self) -> list[str]:
        return [urlsplit(fetch.url).path for fetch in self.fetches]

    def serve(self, path: str, twiml: str, *, status: int = 200, content_type: str = "text/xml") -> None:
        fetch = self.asked(path)
        self.fetches.remove(fetch)
        self.happens(TwimlFetched(fetch.fetch_id, status, content_type, twiml.encode()))

    def fail(self, path: str, code: int = 11205) -> None:
        fetch = self.asked(path)
        self.fetches.remove(fetch)
        self.happens(TwimlFetched(fetch.fetch_id, error_code=code))

    def answers(self, sid: str, after_s: float = 0.0) -> None:
        self.happens(PhoneRings(sid))
        self.happens(PhoneAnswers(sid), after_s)

    def hangs_up(self, sid: str) -> None:
        self.happens(PhoneHangsUp(sid))

    def presses(self, sid: str, digits: str) -> None:
        self.happens(PhonePresses(sid, digits))

    def rest(self, method: str, path: str, *params: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        answer = self.happens(RestRequest(method, path, params)).rest
        assert answer is not None
        return answer.status, answer.body or {}

    def refused(self, method: str, path: str, *params: tuple[str, str]) -> tuple[int, int | None]:
        """The status of a request, and the code of its error, if it has one."""
        status, body = self.rest(method, path, *params)
        return status, body.get("code")

    def dial(self, to: str = "client:bob", twiml: str = "<Response><Pause length='60'/></Response>") -> str:
        status, body = self.rest("POST", "/Calls.json", ("To", to), ("From", BUSINESS), ("Twiml", twiml))
        assert status == 201, body
        return str(body["sid"])

    def redirect(self, sid: str, twiml: str) -> tuple[int, dict[str, Any]]:
        return self.rest("POST", f"/Calls/{sid}.json", ("Twiml", twiml))

    def bridging(self, **attributes: str) -> tuple[str, str]:
        """A customer and an agent who is being dialed; returns their SIDs, parent first."""
        parent = self.call_in(bridge_twiml(**attributes))
        return parent, self.rings[-1].call_sid

    def bridged(self, **attributes: str) -> tuple[str, str]:
        """The two, talking."""
        parent, child = self.bridging(**attributes)
        self.answers(child)
        return parent, child

    def member(self, attributes: str = "", from_: str = CUSTOMER, **more: str) -> str:
        """A caller who is in the conference."""
        return self.call_in(conference_twiml(attributes, **more), from_)

    def participant(self, to: str = "client:carol", *params: tuple[str, str], conference: str = "room") -> str:
        """Someone dialed into the conference, who still has to answer."""
        status, body = self.rest(
            "POST", f"/Conferences/{conference}/Participants.json", ("To", to), ("From", BUSINESS), *params
        )
        assert status == 201, body
        return str(body["call_sid"])

    def participants(self, sid: str = "") -> str:
        """The path of those in the conference, or of one of them."""
        return f"/Conferences/{self.conference()}/Participants{sid and '/'}{sid}.json"

    def update(self, sid: str, *params: tuple[str, str]) -> dict[str, Any]:
        """Changes one of those in the conference; takes a label as well."""
        return self._changed(self.participants(sid), *params)

    def update_conference(self, *params: tuple[str, str]) -> dict[str, Any]:
        return self._changed(f"/Conferences/{self.conference()}.json", *params)

    def complete(self, sid: str) -> dict[str, Any]:
        """Ends a call by the API."""
        return self._changed(f"/Calls/{sid}.json", ("Status", "completed"))

    def _changed(self, path: str, *params: tuple[str, str]) -> dict[str, Any]:
        status, body = self.rest("POST", path, *params)
        assert status == 200, body
        return body

    def call(self, sid: str) -> Call:
        return self.model.state.calls[sid]

    def status(self, sid: str) -> str:
        return self.call(sid).status

    def hears(self, sid: str) -> str | frozenset[str] | None:
        heard = self.model.audibility.current(sid)
        return None if heard is None else heard.parties or heard.kind

    def said(self, sid: str) -> str:
        """The sentence, or the file, that a leg hears."""
        heard = self.model.audibility.current(sid)
        assert heard is not None
        return heard.content

    def events(self, kind: str = "conference") -> list[str]:
        return [callback.event for callback in self.callbacks if callback.kind == kind]

    def event(self, name: str, **params: str) -> dict[str, str]:
        """The parameters of the newest callback of this event with these parameters."""
        for callback in reversed(self.callbacks):
            sent = dict(callback.params)
            if callback.event == name and all(sent.get(key) == value for key, value in params.items()):
                return sent
        raise AssertionError(f"no {name} with {params}; there were {[c.event for c in self.callbacks]}")

    def left(self, **params: str) -> tuple[str, str]:
        """Why the last one to leave the conference has left, and the status of their call."""
        sent = self.event("participant-leave", **params)
        return sent["ReasonParticipantLeft"], sent["ParticipantCallStatus"]

    def error_codes(self) -> list[int]:
        return [error.code for error in self.errors]

    def conference(self, name: str = "room") -> str:
        """The SID of the newest conference of this name."""
        return [conference.sid for conference in self.model.state.conferences.values() if conference.name == name][-1]
