"""A running Offhook, of any environment, for the fixtures (`OFFHOOK_URL`).

Each look at it reads its state over HTTP. It needs nothing that serves: no aiohttp.
"""

import json
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from inspect import signature
from typing import Any, NoReturn, TypeVar

from offhook.account import ACCOUNT_SID, AUTH_TOKEN
from offhook.emptying import check_options, check_shared
from offhook.faults import ONE_SHOT_FAULTS, Faults
from offhook.fields import check, fields_of
from offhook.model import messages
from offhook.model.formats import is_address
from offhook.model.numbers import Number
from offhook.model.state import Call, Conference, Participant, Recording, Sound, SoundInterval, State, TextMessage
from offhook.model.twilio_model import TwilioModel, UnknownNumberError
from offhook.phones import PhoneScript, phone_address
from offhook.request_log import DeliveryEntry, DialEntry, NumberedLog, RequestLog, RestEntry

T = TypeVar("T")
ANSWER_S = 30.0
_ACTS: dict[type, str] = {
    messages.PhoneAnswers: "answer",
    messages.PhoneRefuses: "reject",
    messages.PhoneHangsUp: "hangup",
    messages.PhonePresses: "press",
    messages.PhoneSpeaks: "speak",
    messages.PhoneFallsSilent: "fall-silent",
}
_ENTRIES = {"rest": RestEntry, "deliveries": DeliveryEntry, "dials": DialEntry, "debugger": messages.DebuggerEntry}


def _build(kind: Callable[..., T], given: dict[str, Any]) -> T:
    return kind(**check(fields_of(kind), given))


@dataclass(frozen=True, slots=True)
class _Phone:
    """A phone there."""

    sandbox: "RemoteSandbox"
    address: str
    call_sids: tuple[str, ...] = ()
    default: PhoneScript = field(default_factory=PhoneScript)

    def script(self, **does: Any) -> None:
        texts = {name: [does[name]] for name in ("keys", "speaks") if isinstance(does.get(name), str)}
        self.sandbox.ask("POST", "/phones", {"address": self.address} | does | texts)

    def script_in_turn(self, *scripts: PhoneScript) -> None:
        for script in scripts:
            times = {} if script is scripts[-1] else {"times": 1}
            given = {name: value for name, value in asdict(script).items() if value is not None}
            self.script(**given, **times)


class _Faults:
    """The faults there: the methods and rates of `offhook.Faults`."""

    _sandbox: "RemoteSandbox"

    def __init__(self, sandbox: "RemoteSandbox") -> None:
        object.__setattr__(self, "_sandbox", sandbox)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(Faults, name)
        if name not in ONE_SHOT_FAULTS:
            return partial(method, self)

        def inject(*given: Any, **named: Any) -> None:
            arguments = signature(method).bind(None, *given, **named).arguments
            arguments.pop("self")
            self._sandbox.ask("POST", "/faults", {"once": [{"what": name} | arguments.pop("params", {}) | arguments]})

        return inject

    def __setattr__(self, name: str, value: object) -> None:
        self._sandbox.ask("POST", "/faults", {name: value})

    def clear(self) -> None:
        self._sandbox.ask("DELETE", "/faults")

    def pending_faults(self) -> Any:
        return self._sandbox.ask("GET", "/faults")["to_come"]


class RemoteSandbox:
    """What the fixtures use of a `ServedSandbox`, of one that runs elsewhere."""

    changes = 0  #: Never known: conditions are checked at intervals.
    clock = "running"

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        self.account_sid = environment.get("TWILIO_ACCOUNT_SID") or ACCOUNT_SID
        self.auth_token = environment.get("TWILIO_AUTH_TOKEN") or AUTH_TOKEN
        self._token = environment.get("OFFHOOK_TOKEN", "")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.thread = self.webhook_sender = self.pace = self
        self.acts: deque[tuple[float, Any]] = deque(maxlen=50)  #: Of this test.
        self.faults = _Faults(self)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON of a control route; ValueError for a refusal."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sandbox{path}", data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=ANSWER_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error).get("error", str(error))
            raise (UnknownNumberError if error.code == 404 else ValueError)(said) from None
        except urllib.error.URLError as error:
            raise RuntimeError(f"no Offhook answers at OFFHOOK_URL, {self.url}: {error.reason}") from None

    def run(self, act: Callable[[], T]) -> T:
        """Run this here."""
        return act()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine that awaits nothing."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError("it awaits something")

    def wait_for_change(self, _known: int, timeout_s: float, _since_s: float) -> None:
        """Wait for the next look."""
        time.sleep(timeout_s)

    def set_clock(self, clock: str) -> None:
        """Let Twilio's time always pass, as it does."""
        check_shared({"clock": clock})

    def in_words(self) -> str:
        """Return that Twilio's time passes."""
        return "Twilio's time always passes (clock='running')"

    def advance(self, _seconds: float, _timeout_s: float) -> NoReturn:
        """Refuse it: others may use the same sandbox."""
        raise RuntimeError("advance needs a sandbox in the test's process, not that of OFFHOOK_URL")

    def _read(self) -> Any:
        return self.ask("GET", "/snapshot")

    @property
    def is_idle(self) -> bool:
        """Whether no webhook request is under way."""
        return bool(self._read()["is_idle"])

    @property
    def now_s(self) -> float:
        """The sandbox's time."""
        return float(self._read()["now_s"])

    @property
    def epoch_s(self) -> float:
        """The sandbox's time when it started."""
        return float(self._read()["epoch_s"])

    @property
    def model(self) -> TwilioModel:
        """The model, as it is now; a copy."""
        given, model = self._read(), TwilioModel(self.account_sid)
        model.now_s = given["now_s"]
        state: State = model.state
        state.calls.update({it["sid"]: _build(Call, it) for it in given["calls"]})
        state.live_calls.update(dict.fromkeys(given["live_calls"]))
        for it in given["conferences"]:
            participants = {sid: _build(Participant, one) for sid, one in it.pop("participants").items()}
            state.conferences[it["sid"]] = _build(Conference, it)
            state.conferences[it["sid"]].participants.update(participants)
        state.recordings.update({it["sid"]: _build(Recording, it) for it in given["recordings"]})
        state.messages.update({it["sid"]: _build(TextMessage, it) for it in given["messages"]})
        for sid, intervals in given["hearing"].items():
            model.audibility.history[sid] = [SoundInterval(since, until, _sound(it)) for since, until, it in intervals]
        return model

    @property
    def request_log(self) -> RequestLog:
        """The request log, as it is now; a copy."""
        given = self._read()["requests"]
        return RequestLog(
            **{name: NumberedLog(_build(kind, it) for it in given[name]) for name, kind in _ENTRIES.items()}
        )

    @property
    def phones(self) -> dict[str, _Phone]:
        """The phones, by address."""
        return {it: _Phone(self, it, tuple(sids)) for it, sids in self._read()["phones"].items()}

    def phone(self, address: str) -> _Phone:
        """Return the phone at an address; ValueError if there can be none."""
        if not is_address(address):
            raise ValueError(f"no phone has the address {address!r}: use +1…, client:NAME, or sip:NAME@HOST")
        return _Phone(self, phone_address(address))

    def recordings(self) -> list[Recording]:
        """Return all recordings, oldest first."""
        return list(self.model.state.recordings.values())

    def add_number(self, number: str, **others: str) -> Number:
        """Add a number, SIP domain, or application."""
        return _build(Number, self.ask("POST", "/numbers", {"number": number, **others}))

    def add_application(self, sid: str, **others: str) -> Number:
        """Add a TwiML application."""
        return self.add_number(sid, application_sid=sid, **others)

    async def call_in(self, from_: str, to: str, custom: messages.Params = (), **others: Any) -> Any:
        """Call a number or SIP URI of the account."""
        given = {name: value for name, value in others.items() if value}
        return self._handle(self.ask("POST", "/calls", {"from": from_, "to": to, "custom": dict(custom), **given}))

    async def call_from_browser(self, identity: str, to: str, params: Mapping[str, str], **others: str) -> Any:
        """Call an application."""
        given = {"identity": identity, "to": to, "params": dict(params), **others}
        return self._handle(self.ask("POST", "/browser-calls", given))

    def _handle(self, described: dict[str, Any]) -> Any:
        from offhook.call_handle import CallHandle

        return CallHandle(self, described["sid"])  # type: ignore[arg-type]  # as far as handles use it

    def apply(self, input_: Any) -> messages.Result:
        """Do there what a person does, or another program."""
        match input_:
            case messages.IncomingText(from_=from_, to=to, body=body):
                self.ask("POST", "/messages", {"from": from_, "to": to, "body": body})
            case messages.RestRequest(path=path, params=params):
                sid = path.split("/")[2].removesuffix(".json")
                self.ask("POST", f"/calls/{sid}/move", {name.lower(): value for name, value in params})
            case _:
                self.acts.append((self.now_s, input_))
                given = {name: getattr(input_, name) for name in ("digits", "text") if hasattr(input_, name)}
                self.ask("POST", f"/calls/{input_.call_sid}/{_ACTS[type(input_)]}", given)
        return messages.Result(rest=messages.RestAnswer(200))

    def empty(self, options: dict[str, Any]) -> None:
        """Remove everything, and set the options, if they are possible."""
        check_options(options)
        check_shared(options)
        self.acts.clear()
        behavior = options.get("behavior")
        given = options | {"behavior": asdict(behavior) if behavior is not None else None}
        self.ask("POST", "/reset", {"options": given})


def _sound(given: dict[str, Any]) -> Sound:
    return Sound(**{**given, "parties": frozenset(given["parties"])})


class RemoteServer:
    """Stands for the thread that serves a sandbox: it runs elsewhere."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self.sandbox = RemoteSandbox(url, environment)

    def end(self) -> None:
        """Give it back as it started."""
        self.sandbox.ask("POST", "/reset", {})
