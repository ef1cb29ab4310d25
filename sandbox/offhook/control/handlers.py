"""Handlers of the control API, and the JSON that they accept."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from inspect import isawaitable
from typing import Annotated, Any

from aiohttp import web

from offhook import views
from offhook.call_handle import CallHandle
from offhook.control.error import ControlError
from offhook.control.openapi import describe_routes
from offhook.control.snapshot import snapshot
from offhook.emptying import DEFAULTS, check_shared, empty
from offhook.faults import ONE_SHOT_FAULTS, RATES, Seconds, Text
from offhook.fields import Fields, FieldsError, NoJsonError, at_least, at_most, check, fields_of, read_object
from offhook.model.behavior import Behavior
from offhook.model.messages import IncomingText
from offhook.phones import PhoneScript
from offhook.runtime import SandboxRuntime
from offhook.views import pick
from offhook.webhook_rules import WebhookSetting

NAME_LENGTH_MAX = 60  #: Of a phone's name (characters).
_Rate = Annotated[float, at_least(0), at_most(1)]
_SCRIPT = fields_of(PhoneScript).kinds
_PHONE = Fields(
    {
        "address": Text,
        "name": str | None,
        "by_hand": bool | None,
        "times": Annotated[int, at_least(1)] | None,
        **_SCRIPT,
    },
    frozenset({"address"}),
)
_CALL = Fields(
    {"from": Text, "to": Text, "custom": dict[str, str], "headers": dict[str, str], "url": str},
    frozenset({"from", "to"}),
)
_RESET = Fields({"options": dict[str, Any]})
_TEXT = Fields({"from": Text, "to": Text, "body": str}, frozenset({"from", "to", "body"}))
_FAULTS = Fields(
    {
        "once": list[dict[str, Any]],
        "forget": int | None,
        "retry_after_s": int,
        **{it.name: tuple[Seconds, Seconds] if isinstance(it.default, tuple) else _Rate for it in RATES},
    }
)
_RULE = Fields({"url": str, "settings": list[WebhookSetting]})


async def _read_body(request: web.Request, known: Fields | None = None) -> dict[str, Any]:
    """Return a request's JSON; raise ControlError for wrong fields."""
    try:
        given = read_object(await request.read())
        return given if known is None else check(known, given)
    except web.RequestPayloadError as error:
        raise ControlError(400, "the body can't be decompressed") from error
    except NoJsonError as error:
        raise ControlError(400, str(error)) from None
    except FieldsError as error:
        raise ControlError(422, str(error)) from None


async def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call with a body's fields; raise ControlError for wrong ones."""
    try:
        result = function(**check(fields_of(function), arguments))
        return await result if isawaitable(result) else result
    except (TypeError, ValueError) as error:
        raise ControlError(422, str(error)) from error


def describe(call: CallHandle) -> dict[str, Any]:
    """Return a leg as JSON for the control routes."""
    shown = pick(call.record, "sid", "to", "direction", "status", "conference_sid")
    named = {
        "activity": call.activity,
        "from": call.record.from_,
        "parent_call_sid": call.record.parent_sid,
        "custom": dict(call.record.custom),
    }
    return {**shown, **named, "hears": str(call.hears_now) if call.hears_now else None}


_ACTS: dict[str, Callable[..., None]] = {
    "answer": CallHandle.answer,
    "hangup": CallHandle.hang_up,
    "reject": CallHandle.reject,
    "press": CallHandle.press,
    "speak": CallHandle.speak,
    "fall-silent": CallHandle.fall_silent,
    "move": CallHandle.move,
}


def _empty(sandbox: SandboxRuntime, options: dict[str, Any]) -> None:
    """Empty it for a test; ValueError or TypeError for wrong options."""
    if options.get("behavior") is not None:
        options["behavior"] = Behavior(**check(fields_of(Behavior), options["behavior"]))
    check_shared(options)
    empty(sandbox, options)


class ControlHandlers:
    """The handlers, one per route."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        self._sandbox = sandbox
        self._options: dict[str, Any] | None = None  #: Those of its start, once a test has chosen others.

    async def add_number(self, request: web.Request) -> web.Response:
        """Add a number to the account."""
        added = await _call(self._sandbox.add_number, await _read_body(request))
        return web.json_response(asdict(added), status=201)

    async def script_phone(self, request: web.Request) -> web.Response:
        """Script a phone, name it, or let a person play it (`by_hand`)."""
        body = await _read_body(request, _PHONE)
        phone = await _call(self._sandbox.phone, {"address": body["address"]})
        script = {name: value for name, value in body.items() if name in _SCRIPT or name == "times"}
        if script or not {"name", "by_hand"} & body.keys():  # a request with only a name keeps the script
            await _call(phone.script, script)
        if body.get("name") is not None:
            phone.name = body["name"][:NAME_LENGTH_MAX]
        if body.get("by_hand") is not None:
            self._sandbox.set_manual(phone.address, is_manual=body["by_hand"])
        self._sandbox.notify()
        return web.json_response(body | {"by_hand": phone.is_manual}, status=201)

    async def script_bot(self, request: web.Request) -> web.Response:
        """Set what the bot behind each `<ConversationRelay>` does."""
        script = await _call(self._sandbox.script_bot, await _read_body(request))
        return web.json_response(asdict(script), status=201)

    async def call_in(self, request: web.Request) -> web.Response:
        """Call a number or a SIP domain, as `SandboxRuntime.call_in` does."""
        body = await _read_body(request, _CALL)
        given = body | {"from_": body.pop("from"), "custom": tuple(body.get("custom", {}).items())}
        call = await _call(self._sandbox.call_in, given)
        return web.json_response(describe(call), status=201)

    async def browser_calls(self, request: web.Request) -> web.Response:
        """Call from a browser through the application `app`."""
        call = await _call(self._sandbox.call_from_browser, await _read_body(request))
        return web.json_response(describe(call), status=201)

    async def text_in(self, request: web.Request) -> web.Response:
        """Send a text message to a number of the account."""
        body = await _read_body(request, _TEXT)
        self._sandbox.apply(IncomingText(body["from"], body["to"], body["body"]))
        return web.json_response({}, status=201)

    async def calls(self, request: web.Request) -> web.Response:
        """List all legs, or with `?live=true` those that haven't ended."""
        live = request.query.get("live") == "true"
        sids = self._sandbox.model.state.live_calls if live else self._sandbox.model.state.calls
        return web.json_response({"calls": [describe(self._sandbox.call(sid)) for sid in sids]})

    async def call_action(self, request: web.Request) -> web.Response:
        """Act on a leg: answer, press, move, hang up, and so on."""
        sid, act = request.match_info["sid"], request.match_info["act"]
        if sid not in self._sandbox.model.state.calls:
            raise ControlError(404, f"no call {sid}")
        call = self._sandbox.call(sid)
        if act not in _ACTS:
            raise ControlError(404, f"no such act: {act}; there are {', '.join(_ACTS)}")
        await _call(partial(_ACTS[act], call), await _read_body(request))
        return web.json_response(describe(call))

    async def request_log(self, _request: web.Request) -> web.Response:
        """List all requests received and sent."""
        return web.json_response(asdict(self._sandbox.request_log))

    async def debugger(self, _request: web.Request) -> web.Response:
        """List errors and warnings, oldest first."""
        return web.json_response({"alerts": [views.alert_view(it) for it in self._sandbox.request_log.debugger]})

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
        return web.json_response({"hearing": heard, "now_s": self._sandbox.now_s})

    async def recordings(self, _request: web.Request) -> web.Response:
        """List the callers' messages, newest first."""
        return web.json_response(views.message_view(self._sandbox))

    async def faults(self, request: web.Request) -> web.Response:
        """Set rates and, in `once`, one-shot faults: `[{"what": METHOD, …}]`.

        `forget` removes the one-shot fault with this number.
        """
        faults, given = self._sandbox.faults, await _read_body(request, _FAULTS)
        if (number := given.pop("forget", None)) is not None and not faults.cancel(number):
            raise ControlError(404, f"no fault {number} is to come")
        for one_shot in given.pop("once", []):
            what = one_shot.pop("what", "")
            if what not in ONE_SHOT_FAULTS:
                raise ControlError(422, f"no fault {what!r}; there are {', '.join(ONE_SHOT_FAULTS)}")
            await _call(getattr(faults, what), one_shot)
        for name, value in given.items():
            setattr(faults, name, value)
        self._sandbox.notify()
        return web.json_response(
            {name: getattr(faults, name) for name in sorted({*(it.name for it in RATES), "retry_after_s"})}
        )

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Remove all faults."""
        self._sandbox.faults.clear()
        self._sandbox.notify()
        return await self.pending_faults(request)

    async def pending_faults(self, _request: web.Request) -> web.Response:
        """List the pending one-shot faults, and the rates that aren't zero."""
        return web.json_response(views.fault_view(self._sandbox))

    async def webhook_rule(self, request: web.Request) -> web.Response:
        """Set the webhook rule of a `url`; without `settings`, remove it."""
        await _call(self._sandbox.webhook_rules.put, await _read_body(request, _RULE))
        return web.json_response(self._sandbox.webhook_rules.list_page("rules"), status=201)

    async def snapshot(self, _request: web.Request) -> web.Response:
        """Return the whole state, for the fixtures of another process."""
        return web.json_response(snapshot(self._sandbox))

    async def reset(self, request: web.Request) -> web.Response:
        """Remove everything except the numbers; with `options`, these, too."""
        options = (await _read_body(request, _RESET)).get("options")
        if self._options is None:  # as they were before any test
            self._options = {name: getattr(self._sandbox, name) for name in DEFAULTS}
        if options is None:
            for name, value in self._options.items():
                setattr(self._sandbox, name, value)
            self._sandbox.reset()
        else:
            await _call(partial(_empty, self._sandbox), {"options": options})
        return web.json_response({"numbers": sorted(self._sandbox.model.state.numbers)})

    async def openapi(self, _request: web.Request) -> web.Response:
        """Describe these routes."""
        sandbox = self._sandbox
        bodies = {
            "add_number": fields_of(sandbox.add_number),
            "script_phone": _PHONE,
            "script_bot": fields_of(sandbox.script_bot),
            "call_in": _CALL,
            "text_in": _TEXT,
            "browser_calls": fields_of(sandbox.call_from_browser),
            "faults": _FAULTS,
            "webhook_rule": _RULE,
            "reset": _RESET,
        }
        acts = {name: fields_of(partial(act, None)) for name, act in _ACTS.items()}  # of no call
        return web.json_response(describe_routes(ControlHandlers, bodies, acts))
