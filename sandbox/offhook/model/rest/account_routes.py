"""REST API: the account and its numbers (Twilio's OpenAPI).

Only the URLs and names of numbers can be changed.
"""

import re
from dataclasses import replace
from typing import Any

from offhook.model.formats import make_sid, rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.rest import resources
from offhook.model.rest_form import Form, RestError, not_found
from offhook.model.state import Number, State

ACCOUNT_PATH = ".json"  #: The account's own path, after the part common to all paths.
NUMBERS_PATH = "/IncomingPhoneNumbers.json"
VERIFIED_PATH = "/OutgoingCallerIds.json"
_DOMAIN = re.compile(r"/SIP/Domains/(SD[0-9a-f]{32})\.json")
READ_ONLY_PATHS = (NUMBERS_PATH, VERIFIED_PATH, "/SIP/Domains/")
NUMBER_PATH = re.compile(r"/IncomingPhoneNumbers/(PN[0-9a-f]{32})\.json")
_WANTED = re.compile(r"\+?[0-9*]{1,20}")


def respond(state: State, request: RestRequest) -> RestAnswer:
    """Return the account, or its numbers that match `PhoneNumber`."""
    if request.path == ACCOUNT_PATH:
        return RestAnswer(200, account_resource(state))
    if request.path.startswith("/SIP/"):
        return _respond_domain(state, request.path)
    wanted = Form(request.params).get("PhoneNumber")
    if wanted and not _WANTED.fullmatch(wanted):
        raise RestError(400, 21421, f"PhoneNumber is invalid: {wanted}")
    pattern = re.compile(re.escape(wanted).replace(r"\*", "[0-9]"))
    # Applications and SIP domains are stored alongside the numbers.
    numbers = [it for it in state.numbers.values() if it.number.startswith("+") and pattern.search(it.number)]
    are_verified = request.path == VERIFIED_PATH
    numbers = [it for it in numbers if it.is_verified_only is are_verified]
    if are_verified:
        return resources.list_page(state, request, "outgoing_caller_ids", numbers, caller_id_resource)
    return resources.list_page(state, request, "incoming_phone_numbers", numbers, number_resource)


def respond_number(state: State, request: RestRequest, sid: str) -> RestAnswer | None:
    """Return a number, after an update by POST; None: no such method."""
    found = next((it for it in map(state.numbers.get, state.own_numbers()) if it and number_sid(it) == sid), None)
    if found is None:
        raise not_found(request.path)
    if request.method == "POST":
        form = Form(request.params)
        changed = {
            **{field: form.url(name, BAD_URL) for name, field in _URLS.items() if form.has(name)},
            **{field: form.method(name) for name, field in _METHODS.items() if form.has(name)},
            **({"name": form.get("FriendlyName")} if form.has("FriendlyName") else {}),
        }
        found = state.numbers[found.number] = replace(found, **changed)
    elif request.method != "GET":
        return None
    return RestAnswer(200, number_resource(state, found))


def _respond_domain(state: State, path: str) -> RestAnswer:
    """Return a SIP domain; raise RestError if there is none of that SID."""
    found = _DOMAIN.fullmatch(path)
    domains = {make_sid("SD", it.number, 0): it for it in state.numbers.values() if it.is_sip_domain}
    if found is None or found[1] not in domains:
        raise not_found(path)
    return RestAnswer(200, domain_resource(state, domains[found[1]]))


BAD_URL = 21402  #: Source: github.com/nash-md/twilio-contact-center/issues/17; Twilio docs, error 21402.
_URLS = {
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
    "StatusCallback": "status_callback",
}
_METHODS = {
    "VoiceMethod": "voice_method",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallbackMethod": "status_callback_method",
}


def account_resource(state: State) -> dict[str, Any]:
    """Return an Account resource, without the token: the client has it."""
    return {
        "date_created": rfc2822(0.0),
        "friendly_name": "Sandbox",
        "sid": state.account_sid,
        "status": "active",
        "type": "Full",
        "uri": f"{resources.account_uri(state)}.json",
    }


def caller_id_resource(state: State, it: Number) -> dict[str, Any]:
    """Return what is known of an OutgoingCallerId."""
    return {
        "account_sid": state.account_sid,
        "friendly_name": it.name or it.number,
        "phone_number": it.number,
        "sid": make_sid("PN", it.number, 1),
    }


def domain_resource(state: State, it: Number) -> dict[str, Any]:
    """Return what is known of a SIP Domain."""
    return {
        "account_sid": state.account_sid,
        "byoc_trunk_sid": it.byoc_trunk_sid or None,
        "domain_name": it.number,
        "friendly_name": it.name or it.number,
        "sid": make_sid("SD", it.number, 0),
        "voice_status_callback_method": it.status_callback_method,
        "voice_status_callback_url": it.status_callback,
        **_voice_urls(it),
    }


def number_sid(it: Number) -> str:
    """Return the SID of a number."""
    return make_sid("PN", it.number, 0)


def number_resource(state: State, it: Number) -> dict[str, Any]:
    """Return what is known of an IncomingPhoneNumber."""
    return {
        "account_sid": state.account_sid,
        "friendly_name": it.name or it.number,
        "phone_number": it.number,
        "sid": number_sid(it),
        "status_callback": it.status_callback,
        "status_callback_method": it.status_callback_method,
        "voice_application_sid": it.application_sid or None,
        **_voice_urls(it),
    }


def _voice_urls(it: Number) -> dict[str, str]:
    return {
        "voice_fallback_method": it.voice_fallback_method,
        "voice_fallback_url": it.voice_fallback_url,
        "voice_method": it.voice_method,
        "voice_url": it.voice_url,
    }
