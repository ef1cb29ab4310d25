"""The sandbox's own routes under `/sandbox`, for people and for other processes; they ask for no credentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from conferral.sandbox.answers import ControlError, as_json, guarded, read_body
from conferral.sandbox.exchange import NobodyToTellError, UnknownNumberError
from conferral.sandbox.faults import Faults
from conferral.sandbox.handles import SandboxCall
from conferral.sandbox.switchboard import Switchboard
from conferral.sandbox.views import rooms

NAME_MAX = 60
"""Characters of a phone's name."""


NOTICE_MAX = 500
"""Characters of the line at the top of the phones' page."""


TIMES = frozenset({"by_s", "latency_s"})
COUNTS = frozenset({"count", "copies", "status", "code", "retry_after_s"})


def control_routes(sandbox: Switchboard) -> list[web.RouteDef]:
    """All routes under `/sandbox`."""
    control = Control(sandbox)
    return [
        web.post("/sandbox/numbers", guarded(control.add_number)),
        web.post("/sandbox/phones", guarded(control.script_phone)),
        web.post("/sandbox/calls", guarded(control.call_in)),
        web.post("/sandbox/browser-calls", guarded(control.browser_calls)),
        web.post("/sandbox/callbacks", guarded(control.send_callback)),
        web.get("/sandbox/calls", guarded(control.calls)),
        web.post("/sandbox/foreign", guarded(control.add_foreign)),
        web.post("/sandbox/calls/{sid}/{act}", guarded(control.act)),
        web.get("/sandbox/conferences", guarded(control.conferences)),
        web.get("/sandbox/recordings", guarded(control.recordings)),
        web.get("/sandbox/ledger", guarded(control.ledger)),
        web.get("/sandbox/hearing", guarded(control.hearing)),
        web.get("/sandbox/faults", guarded(control.faults_to_come)),
        web.post("/sandbox/faults", guarded(control.faults)),
        web.post("/sandbox/notice", guarded(control.notice)),
        web.post("/sandbox/reset", guarded(control.reset)),
    ]


def _texts(body: dict[str, Any], name: str) -> dict[str, str]:
    """The object in this field, as texts.

    Raises:
        ControlError: It is no object.
    """
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise ControlError(422, f"{name} must be an object")
    return {str(key): str(text) for key, text in value.items()}


def describe(call: SandboxCall) -> dict[str, Any]:
    """A leg as the control routes show it."""
    record = call.record
    return {
        "sid": record.sid,
        "from": record.from_,
        "to": record.to,
        "direction": record.direction,
        "status": record.status,
        "activity": record.activity,
        "parent_call_sid": record.parent_sid,
        "conference_sid": record.conference_sid,
        "hears": str(call.hears) if call.hears else None,
    }


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and value >= 0


class Control:
    """The handlers, one for each route."""

    def __init__(self, sandbox: Switchboard) -> None:
        self._sandbox = sandbox

    async def add_number(self, request: web.Request) -> web.Response:
        """Give the account a number."""
        optional = (
            "voice_method", "voice_fallback_url", "voice_fallback_method", "status_callback",
            "status_callback_method", "application_sid", "name",
        )  # fmt: skip
        body = await read_body(request, ("number", "voice_url"), optional)
        number = self._sandbox.add_number(body.pop("number"), **{name: str(value) for name, value in body.items()})
        return as_json(asdict(number), 201)

    async def script_phone(self, request: web.Request) -> web.Response:
        """Tell a phone what to do when it is dialled."""
        times = ("ring_after_s", "answer_after_s", "hang_up_after_s", "digits_after_s", "keys_after_s")
        person = ("name", "by_hand")
        body = await read_body(request, ("address",), (*times, "outcome", "digits", "keys", "times", *person))
        address = str(body.pop("address"))
        about = {name: body.pop(name) for name in person if name in body}
        wrong = [name for name in times if not isinstance(body.get(name), int | float | None)]
        if wrong:
            raise ControlError(422, f"not a number of seconds: {', '.join(wrong)}")
        if body.get("outcome") not in {None, "answer", "busy", "no-answer", "reject", "fail"}:
            raise ControlError(422, "outcome must be answer, busy, no-answer, reject or fail")
        if not isinstance(body.get("keys", []), list) or not all(isinstance(it, str) for it in body.get("keys", [])):
            raise ControlError(422, "keys must be a list of texts, one for each Gather")
        if not isinstance(about.get("by_hand", False), bool) or not isinstance(about.get("name", ""), str):
            raise ControlError(422, "name must be a text, and by_hand true or false")
        if body or not about:  # a name alone leaves the script as it is
            self._sandbox.phone(address).script(**body)
        if "name" in about:
            self._sandbox.phone(address).name = about["name"][:NAME_MAX]
        if "by_hand" in about:
            self._sandbox.play_phone(address, by_hand=about["by_hand"])
        self._sandbox.notify()
        return as_json({"address": address, **about, **body}, 201)

    async def notice(self, request: web.Request) -> web.Response:
        """Show a line at the top of the phones' page; an empty one removes it."""
        body = await read_body(request, ("text",), ())
        text = body["text"]
        if not isinstance(text, str) or len(text) > NOTICE_MAX:
            raise ControlError(422, f"text must be a text of at most {NOTICE_MAX} characters")
        self._sandbox.ledger.notice = text
        self._sandbox.notify()
        return as_json({"text": text}, 201)

    async def call_in(self, request: web.Request) -> web.Response:
        """Somebody calls one of the account's numbers; `custom` holds a browser's own parameters."""
        body = await read_body(request, ("from", "to"), ("custom", "url"))
        custom = tuple(_texts(body, "custom").items())
        try:
            call = await self._sandbox.call_in(body["from"], body["to"], custom, url=str(body.get("url", "")))
        except UnknownNumberError as error:
            raise ControlError(404, str(error)) from error
        return as_json(describe(call), 201)

    async def browser_calls(self, request: web.Request) -> web.Response:
        """A browser calls through an application; `params` holds what it sends along."""
        body = await read_body(request, ("identity",), ("to", "params", "app", "url"))
        texts = {name: str(body.get(name, "")) for name in ("to", "app", "url")}
        try:
            call = await self._sandbox.browser_calls(str(body["identity"]), params=_texts(body, "params"), **texts)
        except UnknownNumberError as error:
            raise ControlError(404, str(error)) from error
        return as_json(describe(call), 201)

    async def send_callback(self, request: web.Request) -> web.Response:
        """A callback that the model has no reason to send."""
        body = await read_body(request, ("sid", "event"), ("params",))
        try:
            self._sandbox.send_callback(str(body["sid"]), str(body["event"]), _texts(body, "params"))
        except NobodyToTellError as error:
            raise ControlError(404, str(error)) from error
        return as_json({"sid": body["sid"], "event": body["event"]}, 201)

    async def add_foreign(self, request: web.Request) -> web.Response:
        """Calls, or a conference, of somebody else who uses the same account."""
        body = await read_body(request, (), ("calls", "status", "conference", "members", "age_s"))
        try:
            count, members = int(body.get("calls", 0)), int(body.get("members", 2))
            age_s, status = float(body.get("age_s", 0.0)), str(body.get("status", "in-progress"))
            calls = self._sandbox.add_foreign_calls(count, status=status, age_s=age_s)
            name = str(body.get("conference", ""))
            room = self._sandbox.add_foreign_conference(name, members=members, age_s=age_s) if name else None
        except (TypeError, ValueError) as error:
            raise ControlError(422, str(error)) from error
        return as_json({"calls": [call.sid for call in calls], "conference": room}, 201)

    async def calls(self, request: web.Request) -> web.Response:
        """All legs, or with `?live=true` those that are not over."""
        live = request.query.get("live") == "true"
        sids = self._sandbox.exchange.state.live if live else self._sandbox.exchange.state.calls
        return as_json({"calls": [describe(self._sandbox.call(sid)) for sid in sids]})

    async def act(self, request: web.Request) -> web.Response:
        """Answer, hang up, reject, speak, fall silent, or press keys (`digits`) on a leg."""
        sid, act = request.match_info["sid"], request.match_info["act"]
        if sid not in self._sandbox.exchange.state.calls:
            raise ControlError(404, f"no call {sid}")
        call = self._sandbox.call(sid)
        match act:
            case "answer":
                call.answer()
            case "hangup":
                call.hang_up()
            case "reject":
                call.reject()
            case "press":
                call.press(str((await read_body(request, ("digits",)))["digits"]))
            case "speak":
                call.speak()
            case "fall-silent":
                call.fall_silent()
            case _:
                acts = "answer, hangup, reject, press, speak, fall-silent"
                raise ControlError(404, f"no such act: {act}; there are {acts}")
        return as_json(describe(call))

    async def conferences(self, request: web.Request) -> web.Response:
        """All conferences with those who are in or on their way, or with `?live=true` those that have not ended."""
        live = request.query.get("live") == "true"
        shown = [
            {
                "sid": room.sid,
                "name": room.name,
                "status": room.status,
                "reason_ended": room.reason_ended,
                "region": room.region,
                "max_participants": room.participants_max,
                "participants": [
                    {
                        "call_sid": it.call_sid,
                        "label": it.label,
                        "status": it.status,
                        "muted": it.muted,
                        "hold": it.hold,
                        "coaching": it.coaching,
                        "call_sid_to_coach": it.coach_sid,
                        "speaking": it.is_speaking,
                        "start_conference_on_enter": it.order.start_on_enter,
                        "end_conference_on_exit": it.end_on_exit,
                        "beep": it.order.beep,
                        "jitter_buffer_size": it.order.jitter_buffer,
                    }
                    for it in room.participants.values()
                ],
            }
            for room in self._sandbox.exchange.state.conferences.values()
            if not live or room.status != "completed"
        ]
        return as_json({"conferences": shown})

    async def recordings(self, _request: web.Request) -> web.Response:
        """All recordings, and whose voices are on them."""
        shown = [
            {
                "sid": it.sid,
                "call_sid": it.call_sid,
                "conference_sid": it.conference_sid,
                "status": it.status,
                "channels": it.order.channels,
                "track": it.order.track,
                "length_s": it.length_s(self._sandbox.now_s),
                "spans": [
                    {"since_s": span.since_s, "until_s": span.until_s, "voices": sorted(span.voices)}
                    for span in it.spans
                ],
            }
            for it in self._sandbox.recordings()
        ]
        return as_json({"recordings": shown})

    async def ledger(self, _request: web.Request) -> web.Response:
        """Everything that was asked and sent."""
        return as_json(asdict(self._sandbox.ledger))

    async def hearing(self, request: web.Request) -> web.Response:
        """Who heard what: of all legs, or with `?call=CA…` of one."""
        history = self._sandbox.exchange.hearing.history
        wanted = request.query.get("call")
        if wanted is not None and wanted not in history:
            raise ControlError(404, f"nothing was heard by {wanted}")
        shown = {
            sid: [
                {
                    "since_s": it.since_s,
                    "until_s": it.until_s,
                    "kind": it.heard.kind,
                    "parties": sorted(it.heard.parties),
                    "what": it.heard.what,
                    "ringing": it.heard.ringing,
                }
                for it in intervals
            ]
            for sid, intervals in history.items()
            if wanted in (None, sid)
        }
        return as_json({"hearing": shown, "now_s": self._sandbox.now_s})

    async def faults(self, request: web.Request) -> web.Response:
        """Set rates, and ask for single faults: `{"callback_loss": 0.1, "once": [{"what": "lose_callbacks", …}]}`."""
        rates = {field.name for field in fields(Faults) if not field.name.startswith("_")} - {"seed"}
        body = await read_body(request, (), (*sorted(rates), "once", "clear", "forget"))
        if body.pop("clear", False):
            self._sandbox.faults.clear()
        if (number := body.pop("forget", None)) is not None and not self._sandbox.faults.forget(number):
            raise ControlError(404, f"no fault {number} is to come")
        for wish in body.pop("once", []):
            self._once(dict(wish))
        for name, value in body.items():
            usable = tuple(value) if isinstance(value, list) else value
            wants_pair = isinstance(getattr(self._sandbox.faults, name), tuple)
            if isinstance(usable, tuple) != wants_pair or not isinstance(value, list | int | float):
                raise ControlError(422, f"{name} must be {'[least, most]' if wants_pair else 'a number'}")
            setattr(self._sandbox.faults, name, usable)
        self._sandbox.notify()
        return as_json({name: getattr(self._sandbox.faults, name) for name in sorted(rates)})

    async def faults_to_come(self, _request: web.Request) -> web.Response:
        """What is set to go wrong."""
        return as_json(rooms.faults(self._sandbox))

    def _once(self, wish: dict[str, Any]) -> None:
        faults = self._sandbox.faults
        single: dict[str, Callable[..., None]] = {
            "lose_callbacks": faults.lose_callbacks,
            "double_callbacks": faults.double_callbacks,
            "delay_callbacks": faults.delay_callbacks,
            "hold_back_callbacks": faults.hold_back_callbacks,
            "next_rest": faults.next_rest,
            "fail_fetches": faults.fail_fetches,
            "delay_fetches": faults.delay_fetches,
        }
        what = wish.pop("what", "")
        if what not in single:
            raise ControlError(422, f"no fault {what!r}; there are {', '.join(single)}")
        for names, kind, words in ((TIMES, int | float, "seconds"), (COUNTS, int, "a whole number")):
            wrong = [name for name in names & set(wish) if isinstance(wish[name], bool) or not _is(wish[name], kind)]
            if wrong:
                raise ControlError(422, f"{', '.join(sorted(wrong))} must be {words}, 0 or more")
        try:
            single[what](**wish)
        except TypeError as error:
            raise ControlError(422, f"{what}: {error}") from error

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget everything but the numbers."""
        self._sandbox.reset()
        return as_json({"numbers": sorted(self._sandbox.exchange.state.numbers)})
