"""REST API: the account, its verified caller IDs, and its SIP domains.

They can only be read. Source: Twilio's OpenAPI.
"""

import re
from typing import Any

from offhook.model.formats import make_sid, rfc2822
from offhook.model.messages import RestAnswer, RestRequest
from offhook.model.numbers import Number
from offhook.model.rest import number_routes, resources
from offhook.model.rest_form import Form, NotFoundError
from offhook.model.state import State

ACCOUNT_PATH = ".json"  #: The account's own path, after the part common to all paths.
VERIFIED_PATH = "/OutgoingCallerIds.json"
_DOMAIN = re.compile(r"/SIP/Domains/(SD[0-9a-f]{32})\.json")
READ_ONLY_PATHS = (VERIFIED_PATH, "/SIP/Domains/")


def respond(state: State, request: RestRequest) -> RestAnswer:
    """Return the account, a SIP domain, or caller IDs by `PhoneNumber`."""
    if request.path == ACCOUNT_PATH:
        return RestAnswer(200, account_resource(state))
    if request.path.startswith("/SIP/"):
        return _respond_domain(state, request.path)
    verified = [it for it in state.numbers.values() if it.is_verified_only]
    found = number_routes.matching(verified, Form(request.params).get("PhoneNumber"))
    return resources.list_page(state, request, "outgoing_caller_ids", found, caller_id_resource)


def _respond_domain(state: State, path: str) -> RestAnswer:
    """Return a SIP domain; raise RestError if there is none of that SID."""
    found = _DOMAIN.fullmatch(path)
    domains = {make_sid("SD", it.number, 0): it for it in state.numbers.values() if it.is_sip_domain}
    if found is None or found[1] not in domains:
        raise NotFoundError
    return RestAnswer(200, domain_resource(state, domains[found[1]]))


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
        **number_routes.voice_urls(it),
    }
