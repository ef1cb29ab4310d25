"""REST API: the account and its numbers; read-only (Twilio's OpenAPI)."""

import re
from typing import Any

from conferral.sandbox.model import callback_parameters
from conferral.sandbox.model.formats import make_sid, rfc2822
from conferral.sandbox.model.messages import RestAnswer, RestRequest
from conferral.sandbox.model.rest import resources
from conferral.sandbox.model.rest.form import Form, RestError, not_found
from conferral.sandbox.model.state import Number, State

ACCOUNT_PATH = ".json"  #: The account's own path, after the part common to all paths.
NUMBERS_PATH = "/IncomingPhoneNumbers.json"
VERIFIED_PATH = "/OutgoingCallerIds.json"
_DOMAIN = re.compile(r"/SIP/Domains/(SD[0-9a-f]{32})\.json")
READ_ONLY_PATHS = (NUMBERS_PATH, VERIFIED_PATH, "/SIP/Domains/")
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


def _respond_domain(state: State, path: str) -> RestAnswer:
    """Return a SIP domain; raise RestError if there is none of that SID."""
    found = _DOMAIN.fullmatch(path)
    domains = {make_sid("SD", it.number, 0): it for it in state.numbers.values() if it.is_sip_domain}
    if found is None or found[1] not in domains:
        raise not_found(path)
    return RestAnswer(200, domain_resource(state, domains[found[1]]))


def account_resource(state: State) -> dict[str, Any]:
    """Return an Account resource, without the token: the client has it."""
    uri = resources.account_uri(state)
    return {
        "auth_token": None,
        "date_created": rfc2822(0.0),
        "date_updated": rfc2822(0.0),
        "friendly_name": "Sandbox",
        "owner_account_sid": state.account_sid,
        "sid": state.account_sid,
        "status": "active",
        "subresource_uris": {
            "calls": f"{uri}/Calls.json",
            "conferences": f"{uri}/Conferences.json",
            "incoming_phone_numbers": f"{uri}{NUMBERS_PATH}",
        },
        "type": "Full",
        "uri": f"{uri}.json",
    }


def caller_id_resource(state: State, it: Number) -> dict[str, Any]:
    """Return an OutgoingCallerId resource."""
    sid = make_sid("PN", it.number, 1)
    return {
        "account_sid": state.account_sid,
        "date_created": rfc2822(0.0),
        "date_updated": rfc2822(0.0),
        "friendly_name": it.name or it.number,
        "phone_number": it.number,
        "sid": sid,
        "uri": f"{resources.account_uri(state)}/OutgoingCallerIds/{sid}.json",
    }


def domain_resource(state: State, it: Number) -> dict[str, Any]:
    """Return a SIP Domain resource."""
    uri = f"{resources.account_uri(state)}/SIP/Domains/{make_sid('SD', it.number, 0)}"
    return {
        **dict.fromkeys(("emergency_caller_sid",)),
        "account_sid": state.account_sid,
        "api_version": callback_parameters.API_VERSION,
        "auth_type": "CREDENTIAL_LIST",
        "byoc_trunk_sid": it.byoc_trunk_sid or None,
        "date_created": rfc2822(0.0),
        "date_updated": rfc2822(0.0),
        "domain_name": it.number,
        "emergency_calling_enabled": False,
        "friendly_name": it.name or it.number,
        "secure": False,
        "sid": make_sid("SD", it.number, 0),
        "sip_registration": True,
        "subresource_uris": {"credential_list_mappings": f"{uri}/CredentialListMappings.json"},
        "uri": f"{uri}.json",
        "voice_fallback_method": it.voice_fallback_method,
        "voice_fallback_url": it.voice_fallback_url,
        "voice_method": it.voice_method,
        "voice_status_callback_method": it.status_callback_method,
        "voice_status_callback_url": it.status_callback,
        "voice_url": it.voice_url,
    }


def number_resource(state: State, it: Number) -> dict[str, Any]:
    """Return an IncomingPhoneNumber resource; only its webhooks vary."""
    sid = make_sid("PN", it.number, 0)
    return {
        **dict.fromkeys(("address_sid", "bundle_sid", "emergency_address_sid", "identity_sid", "trunk_sid")),
        **dict.fromkeys(("sms_application_sid", "sms_fallback_url", "sms_url"), ""),
        "account_sid": state.account_sid,
        "address_requirements": "none",
        "api_version": callback_parameters.API_VERSION,
        "beta": False,
        "capabilities": {"voice": True, "sms": False, "mms": False, "fax": False},
        "date_created": rfc2822(0.0),
        "date_updated": rfc2822(0.0),
        "emergency_address_status": "unregistered",
        "emergency_status": "Inactive",
        "friendly_name": it.name or it.number,
        "origin": "twilio",
        "phone_number": it.number,
        "sid": sid,
        "sms_fallback_method": "POST",
        "sms_method": "POST",
        "status": "in-use",
        "status_callback": it.status_callback,
        "status_callback_method": it.status_callback_method,
        "type": "local",
        "uri": f"{resources.account_uri(state)}/IncomingPhoneNumbers/{sid}.json",
        "voice_application_sid": it.application_sid or None,
        "voice_caller_id_lookup": False,
        "voice_fallback_method": it.voice_fallback_method,
        "voice_fallback_url": it.voice_fallback_url,
        "voice_method": it.voice_method,
        "voice_receive_mode": "voice",
        "voice_url": it.voice_url,
    }
