"""REST API: the account's phone numbers and TwiML applications.

Source: Twilio docs: IncomingPhoneNumber resource; Applications resource; error 21421, 21422.
"""

import re
from dataclasses import replace
from typing import Any

from offhook.model import callback_parameters
from offhook.model.formats import is_number, make_sid, national, rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.numbers import Number
from offhook.model.rest import resources
from offhook.model.rest_form import Form, NotFoundError, RestError
from offhook.model.state import State
from offhook.model.transaction import Transaction

NUMBERS, APPLICATIONS = "IncomingPhoneNumbers", "Applications"
PATH = re.compile(rf"^/(?P<kind>{NUMBERS}|{APPLICATIONS})(/(?P<sid>[^/]+))?\.json$")
BAD_URL = 21402  #: Source: github.com/nash-md/twilio-contact-center/issues/17; Twilio docs, error 21402.
_WANTED = re.compile(r"\+?[0-9*]{1,20}")
_AREA_CODE = re.compile(r"[2-9][0-9]{2}")
_URLS = {
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
    "SmsUrl": "sms_url",
    "SmsFallbackUrl": "sms_fallback_url",
    "StatusCallback": "status_callback",
}
_METHODS = {
    "VoiceMethod": "voice_method",
    "VoiceFallbackMethod": "voice_fallback_method",
    "SmsMethod": "sms_method",
    "SmsFallbackMethod": "sms_fallback_method",
    "StatusCallbackMethod": "status_callback_method",
}
_UNUSED_OF_NUMBERS = (
    "address_sid", "bundle_sid", "emergency_address_sid", "identity_sid", "sms_application_sid", "trunk_sid",
)  # fmt: skip


def respond(transaction: Transaction, request: RestRequest, kind: str, sid: str) -> RestAnswer | None:
    """Return the list or one of it, after a change; None: no such method."""
    state, form = transaction.state, Form(request.params)
    show = number_resource if kind == NUMBERS else application_resource
    if not sid and request.method == "GET":
        return _list_page(state, request, kind)
    if not sid:
        if request.method != "POST":
            return None
        added = _new_number(state, form) if kind == NUMBERS else _new_application(transaction)
        state.numbers[added.number] = _changed(state, added, form)
        return RestAnswer(201, show(state, state.numbers[added.number]))
    found = next((it for it in _all(state, kind) if _sid(it) == sid), None)
    if found is None:
        raise NotFoundError
    if request.method == "DELETE":
        del state.numbers[found.number]
        return RestAnswer(204)
    if request.method == "POST":
        found = state.numbers[found.number] = _changed(state, found, form)
    elif request.method != "GET":
        return None
    return RestAnswer(200, show(state, found))


def _all(state: State, kind: str) -> list[Number]:
    """Return the account's numbers or applications; the state has both."""
    if kind == NUMBERS:
        return [state.numbers[it] for it in state.own_numbers()]
    return [it for it in state.numbers.values() if it.application_sid and not is_number(it.number)]


def _list_page(state: State, request: RestRequest, kind: str) -> RestAnswer:
    form = Form(request.params)
    name = form.get("FriendlyName")
    found = [it for it in _all(state, kind) if not name or _name(it) == name]
    if kind == APPLICATIONS:
        return resources.list_page(state, request, "applications", found, application_resource)
    found = matching(found, form.get("PhoneNumber"))
    return resources.list_page(state, request, "incoming_phone_numbers", found, number_resource)


def matching(numbers: list[Number], wanted: str) -> list[Number]:
    """Return the numbers that contain `wanted`, in which `*` is any digit."""
    if wanted and not _WANTED.fullmatch(wanted):
        raise RestError(400, 21421, f"PhoneNumber is invalid: {wanted}")
    pattern = re.compile(re.escape(wanted).replace(r"\*", "[0-9]"))
    return [it for it in numbers if pattern.search(it.number)]


def _new_number(state: State, form: Form) -> Number:
    """Return the number that the account gets: any that it doesn't have yet."""
    wanted, area_code = form.get("PhoneNumber"), form.get("AreaCode")
    if not wanted and _AREA_CODE.fullmatch(area_code):
        free = (f"+1{area_code}55501{count:02}" for count in range(100))  # reserved for fiction
        wanted = next((it for it in free if it not in state.numbers), "")
        if not wanted:
            raise RestError(400, 21452, f"No phone numbers found in area code {area_code}")
    if not is_number(wanted):
        raise RestError(400, 21421, f"PhoneNumber is invalid: {wanted}")
    if state.is_own_number(wanted):
        raise RestError(400, 21422, f"{wanted} is not available.")
    return Number(wanted)


def _new_application(transaction: Transaction) -> Number:
    sid = transaction.new_sid("AP")
    return Number(sid, application_sid=sid)


def _changed(state: State, it: Number, form: Form) -> Number:
    sid = form.get("VoiceApplicationSid")
    if sid and state.application(sid) is None:
        raise RestError(400, 21218, f"Invalid VoiceApplicationSid: {sid}")
    changed = {
        **{field: form.url(name, BAD_URL) for name, field in _URLS.items() if form.has(name)},
        **{field: form.method(name) for name, field in _METHODS.items() if form.has(name)},
        **({"name": form.get("FriendlyName")} if form.has("FriendlyName") else {}),
        **({"voice_application_sid": sid} if form.has("VoiceApplicationSid") and is_number(it.number) else {}),
    }
    return replace(it, **changed)


def _sid(it: Number) -> str:
    return number_sid(it) if is_number(it.number) else it.number


def number_sid(it: Number) -> str:
    """Return the SID of a number."""
    return make_sid("PN", it.number, 0)


def _name(it: Number) -> str:
    return it.name or national(it.number)


def number_resource(state: State, it: Number) -> dict[str, Any]:
    """Return an IncomingPhoneNumber."""
    return {
        **dict.fromkeys(_UNUSED_OF_NUMBERS),
        **_common(state, it, f"{NUMBERS}/{number_sid(it)}"),
        "address_requirements": "none",
        "beta": False,
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "origin": "twilio",
        "phone_number": it.number,
        "sid": number_sid(it),
        "status": "in-use",
        "voice_application_sid": it.voice_application_sid or None,
        "voice_receive_mode": "voice",
    }


def application_resource(state: State, it: Number) -> dict[str, Any]:
    """Return an Application."""
    return _common(state, it, f"{APPLICATIONS}/{it.number}") | {"sid": it.number}


def _common(state: State, it: Number, path: str) -> dict[str, Any]:
    return {
        "account_sid": state.account_sid,
        "api_version": callback_parameters.API_VERSION,
        "date_created": rfc2822(0.0),  # like the account's
        "date_updated": rfc2822(0.0),
        "friendly_name": _name(it),
        "sms_fallback_method": it.sms_fallback_method,
        "sms_fallback_url": it.sms_fallback_url,
        "sms_method": it.sms_method,
        "sms_url": it.sms_url,
        "status_callback": it.status_callback,
        "status_callback_method": it.status_callback_method,
        "uri": f"{resources.account_uri(state)}/{path}.json",
        "voice_caller_id_lookup": False,
        **voice_urls(it),
    }


def voice_urls(it: Number) -> dict[str, str]:
    """Return the voice URLs and their methods, as resources show them."""
    return {
        "voice_fallback_method": it.voice_fallback_method,
        "voice_fallback_url": it.voice_fallback_url,
        "voice_method": it.voice_method,
        "voice_url": it.voice_url,
    }
