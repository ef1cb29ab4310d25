"""The caller's number that an agent's `<Dial>` shows.

A browser or SIP phone shows any number. To a phone, Twilio shows the number of a SIP address only if it is in the
account or verified, or the call came in over a BYOC trunk.
Source: Twilio docs, Errors, 13214; TwiML `<Sip>`, `callerId`.
"""

import asyncio

import structlog

from conferral.runtime.errors import ProviderError
from conferral.telephony.addresses import Address, AddressKind
from conferral.telephony.callback_events import Fields, call_sid_of, caller_of, sip_domain_sid_of
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.webhooks.call_routing import CallRouting

log = structlog.get_logger()

#: Twilio's answer must fit into the time in which a caller hears nothing, seconds.
_LOOKUP_DEADLINE_S = 1.5


async def shown_number(form: Fields, agent: Address, routing: CallRouting, twilio: TwilioQueries) -> str:
    """Return the caller's number to show an agent; empty for the business's."""
    number = routing.presentable_number(form, agent)
    if not number or number == caller_of(form) or agent.kind is not AddressKind.NUMBER:
        return number
    try:
        async with asyncio.timeout(_LOOKUP_DEADLINE_S):
            may_show = await twilio.may_show(number, sip_domain_sid_of(form))
    except (ProviderError, TimeoutError) as error:
        log.warning("caller_id_lookup_failed", call_sid=call_sid_of(form), error_type=type(error).__name__)
        return ""
    return number if may_show else ""
