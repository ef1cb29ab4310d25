"""Control API of the sandbox under `/sandbox`; unauthenticated."""

from collections.abc import Iterable
from dataclasses import asdict
from types import UnionType
from typing import Any, get_args

from aiohttp import web

from conferral.sandbox import views
from conferral.sandbox.faults import RATES, Corruption, FaultStep
from conferral.sandbox.http import ControlError, json_response, pick, read_json_object
from conferral.sandbox.phones import CallHandle
from conferral.sandbox.runtime import SandboxRuntime

NAME_LENGTH_MAX = 60  #: Of a phone's name (characters).
ONE_SHOT_FAULTS = (
    "lose_callbacks", "duplicate_callbacks", "delay_callbacks", "hold_back_callbacks",
    "next_rest", "fail_fetches", "delay_fetches",
)  # fmt: skip
"""Methods of `Faults`."""
DURATION_FIELDS = frozenset({"by_s", "latency_s"})
COUNT_FIELDS = frozenset({"count", "copies", "status", "code", "retry_after_s"})
TEXT_FIELDS = frozenset({"event", "method", "path", "url_part"})  #: Besides Twilio's parameters.
CHOICES = {"cut": get_args(FaultStep), "moment": get_args(FaultStep), "mangled": get_args(Corruption)}


def control_routes(sandbox: SandboxRuntime) -> list[web.RouteDef]:
    """Return all routes under `/sandbox`."""
    control = ControlRoutes(sandbox)
    return [
        web.post("/sandbox/numbers", control.add_number),
        web.post("/sandbox/phones", control.script_phone),
        web.post("/sandbox/calls", control.call_in),
        web.post("/sandbox/browser-calls", control.browser_calls),
        web.get("/sandbox/calls", control.calls),
        web.post("/sandbox/calls/{sid}/{act}", control.call_action),
        web.get("/sandbox/ledger", control.request_log),
        web.get("/sandbox/hearing", control.audibility),
        web.get("/sandbox/faults", control.pending_faults),
        web.post("/sandbox/faults", control.faults),
        web.post("/sandbox/reset", control.reset),
    ]


def _texts(body: dict[str, Any], name: str) -> dict[str, str]:
    """Return a field's object with values as strings; reject other values."""
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise ControlError(422, f"{name} must be an object")
    return {str(key): str(text) for key, text in value.items()}


def _require_texts(body: dict[str, Any], names: Iterable[str]) -> None:
    """Reject fields that are not strings."""
    wrong = [name for name in names if not isinstance(body[name], str)]
    if wrong:
        raise ControlError(422, f"not a text: {', '.join(wrong)}")


def describe(call: CallHandle) -> dict[str, Any]:
    """Return a leg as JSON for the control routes."""
    shown = pick(call.record, "sid", "to", "direction", "status", "activity", "conference_sid")
    named = {"from": call.record.from_, "parent_call_sid": call.record.parent_sid}
    return {**shown, **named, "hears": str(call.hears_now) if call.hears_now else None}


def _is_nonnegative(value: object, kind: type[int] | UnionType) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and value >= 0


class ControlRoutes:
    """The handlers, one per route."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        self._sandbox = sandbox

    async def add_number(self, request: web.Request) -> web.Response:
        """Add a number to the account."""
        optional = (
            "voice_method", "voice_fallback_url", "voice_fallback_method", "status_callback",
            "status_callback_method", "application_sid", "name",
        )  # fmt: skip
        body = await read_json_object(request, ("number", "voice_url"), optional)
        _require_texts(body, body)
        return json_response(asdict(self._sandbox.add_number(body.pop("number"), **body)), 201)

    async def script_phone(self, request: web.Request) -> web.Response:
        """Script a phone, name it, or let a person play it (`by_hand`)."""
        durations = ("ring_after_s", "answer_after_s", "hang_up_after_s", "digits_after_s", "keys_after_s")
        of_phone = ("name", "by_hand")  # the other fields are the script's
        allowed = (*durations, "outcome", "digits", "keys", "times", *of_phone)
        body = await read_json_object(request, ("address",), allowed)
        address = str(body.pop("address"))
        phone_fields = {name: body.pop(name) for name in of_phone if name in body}
        given = {name: body[name] for name in (*durations, "times") if body.get(name) is not None}
        wrong = [name for name in durations if not _is_nonnegative(given.get(name, 0), int | float)]
        if wrong:
            raise ControlError(422, f"not a number of seconds, 0 or more: {', '.join(wrong)}")
        if body.get("outcome") not in (None, "answer", "busy", "no-answer", "reject", "fail"):
            raise ControlError(422, "outcome must be answer, busy, no-answer, reject or fail")
        if not isinstance(body.get("digits"), str | None):
            raise ControlError(422, "digits must be a text")
        if not _is_nonnegative(given.get("times", 0), int):
            raise ControlError(422, "times must be a whole number, 0 or more")
        if not isinstance(body.get("keys", []), list) or not all(isinstance(it, str) for it in body.get("keys", [])):
            raise ControlError(422, "keys must be a list of texts, one for each Gather")
        name, is_manual = phone_fields.get("name", ""), phone_fields.get("by_hand", False)
        if not isinstance(is_manual, bool) or not isinstance(name, str):
            raise ControlError(422, "name must be a text, and by_hand true or false")
        phone = self._sandbox.phone(address)
        if body or not phone_fields:  # a request with only a name keeps the script
            phone.script(**body)
        if "name" in phone_fields:
            phone.name = name[:NAME_LENGTH_MAX]
        if "by_hand" in phone_fields:
            self._sandbox.set_manual(address, is_manual=is_manual)
        self._sandbox.notify()
        return json_response({"address": address, **phone_fields, **body, "by_hand": phone.is_manual}, 201)

    async def call_in(self, request: web.Request) -> web.Response:
        """Call a number or a SIP domain, as `SandboxRuntime.call_in` does."""
        body = await read_json_object(request, ("from", "to"), ("custom", "headers", "url"))
        _require_texts(body, ("from", "to"))
        custom, headers = tuple(_texts(body, "custom").items()), _texts(body, "headers")
        url = str(body.get("url", ""))
        call = await self._sandbox.call_in(body["from"], body["to"], custom, url=url, headers=headers)
        return json_response(describe(call), 201)

    async def browser_calls(self, request: web.Request) -> web.Response:
        """Call from a browser through the application `app`."""
        body = await read_json_object(request, ("identity",), ("to", "params", "app", "url"))
        texts = {name: str(body.get(name, "")) for name in ("to", "app", "url")}
        call = await self._sandbox.call_from_browser(str(body["identity"]), params=_texts(body, "params"), **texts)
        return json_response(describe(call), 201)

    async def calls(self, request: web.Request) -> web.Response:
        """List all legs, or with `?live=true` those that haven't ended."""
        live = request.query.get("live") == "true"
        sids = self._sandbox.model.state.live_calls if live else self._sandbox.model.state.calls
        return json_response({"calls": [describe(self._sandbox.call(sid)) for sid in sids]})

    async def call_action(self, request: web.Request) -> web.Response:
        """Act on a leg: answer, press, move, hang up, and so on."""
        sid, act = request.match_info["sid"], request.match_info["act"]
        if sid not in self._sandbox.model.state.calls:
            raise ControlError(404, f"no call {sid}")
        call = self._sandbox.call(sid)
        acts = {
            "answer": call.answer,
            "hangup": call.hang_up,
            "reject": call.reject,
            "speak": call.speak,
            "fall-silent": call.fall_silent,
        }
        if act == "press":
            call.press(str((await read_json_object(request, ("digits",)))["digits"]))
        elif act == "move":
            body = await read_json_object(request, (), ("url", "twiml"))
            try:
                call.move(**{name: str(value) for name, value in body.items()})
            except ValueError as error:
                raise ControlError(422, str(error)) from error
        elif act in acts:
            acts[act]()
        else:
            raise ControlError(404, f"no such act: {act}; there are press, move, {', '.join(acts)}")
        return json_response(describe(call))

    async def request_log(self, _request: web.Request) -> web.Response:
        """List all requests received and sent."""
        return json_response(asdict(self._sandbox.request_log))

    async def audibility(self, request: web.Request) -> web.Response:
        """List who heard what: all legs, or with `?call=CA…` one."""
        history = self._sandbox.model.audibility.history
        wanted = request.query.get("call")
        if wanted is not None and wanted not in history:
            raise ControlError(404, f"nothing was heard by {wanted}")
        heard = {
            sid: [
                {
                    **pick(it, "since_s", "until_s"),
                    **pick(it.sound, "kind", "ringing"),
                    "parties": sorted(it.sound.parties),
                    "what": it.sound.content,
                }
                for it in intervals
            ]
            for sid, intervals in history.items()
            if wanted in (None, sid)
        }
        return json_response({"hearing": heard, "now_s": self._sandbox.now_s})

    async def faults(self, request: web.Request) -> web.Response:
        """Set rates and, in `once`, one-shot faults: `[{"what": METHOD, …}]`.

        `clear` removes all earlier faults, `forget` the one-shot fault with this number.
        """
        names = sorted({*(rate.name for rate in RATES), "retry_after_s"})
        body = await read_json_object(request, (), (*names, "once", "clear", "forget"))
        if body.pop("clear", False):
            self._sandbox.faults.clear()
        if (number := body.pop("forget", None)) is not None and not self._sandbox.faults.cancel(number):
            raise ControlError(404, f"no fault {number} is to come")
        one_shots = body.pop("once", [])
        if not isinstance(one_shots, list) or not all(isinstance(it, dict) for it in one_shots):
            raise ControlError(422, "once must be a list of objects")
        for one_shot in one_shots:
            self._add_one_shot(one_shot)
        for name, value in body.items():
            wants_pair = isinstance(getattr(self._sandbox.faults, name), tuple)
            numbers = tuple(value) if wants_pair and isinstance(value, list) else (value,)
            if len(numbers) != (2 if wants_pair else 1) or not all(_is_nonnegative(it, int | float) for it in numbers):
                raise ControlError(422, f"{name} must be {'[least, most]' if wants_pair else 'a number, 0 or more'}")
            setattr(self._sandbox.faults, name, numbers if wants_pair else value)
        self._sandbox.notify()
        return json_response({name: getattr(self._sandbox.faults, name) for name in names})

    async def pending_faults(self, _request: web.Request) -> web.Response:
        """List the pending one-shot faults, and the rates that aren't zero."""
        return json_response(views.fault_view(self._sandbox))

    def _add_one_shot(self, one_shot: dict[str, Any]) -> None:
        """Call the method of `Faults` that `what` names with the other fields."""
        what = one_shot.pop("what", "")
        if what not in ONE_SHOT_FAULTS:
            raise ControlError(422, f"no fault {what!r}; there are {', '.join(ONE_SHOT_FAULTS)}")
        for names, kind, words in ((DURATION_FIELDS, int | float, "seconds"), (COUNT_FIELDS, int, "a whole number")):
            wrong = [name for name in names & set(one_shot) if not _is_nonnegative(one_shot[name], kind)]
            if wrong:
                raise ControlError(422, f"{', '.join(sorted(wrong))} must be {words}, 0 or more")
        _require_texts(one_shot, (name for name in one_shot if name in TEXT_FIELDS or name[:1].isupper()))
        if one_shot.get("status", 0) not in (0, *range(200, 600)):
            raise ControlError(422, "status must be 0, or 200 to 599")
        for name in CHOICES.keys() & set(one_shot):
            if one_shot[name] not in CHOICES[name]:
                raise ControlError(422, f"{name} must be {' or '.join(filter(None, CHOICES[name]))}")
        try:
            getattr(self._sandbox.faults, what)(**one_shot)
        except TypeError as error:
            raise ControlError(422, f"{what}: {error}") from error

    async def reset(self, _request: web.Request) -> web.Response:
        """Remove everything except the numbers."""
        self._sandbox.reset()
        return json_response({"numbers": sorted(self._sandbox.model.state.numbers)})
