"""Call routing: who answers a number, and whom a browser or app calls."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

import structlog

from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.events import CallReceived
from conferral.statemachine.states import SessionMode
from conferral.telephony.addresses import Address, AddressError, AllowList, parse_address
from conferral.telephony.callback_events import Fields, call_received, callee_of, caller_of
from conferral.telephony.directory.model import DirectoryFile, InboundRoute, resolve_address

log = structlog.get_logger()

#: Prefixes of `From`. Source: Twilio docs, "TwiML for Programmable Voice", `From`.
_CLIENT, _SIP = "client:", "sip:"
#: Another browser's identity, without `client:`. Without a letter, it could be a mistyped number.
_BARE_CLIENT = re.compile(r"(?=[^@]*[A-Za-z])[A-Za-z0-9_.-]{1,256}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
#: The number that a SIP phone dialed: the part before the host. Source: RFC 3261, section 19.1.1.
_SIP_USER = re.compile(r"sip:([^@;?]{1,128})@")


@dataclass(frozen=True, slots=True)
class NextAgent:
    """The next agent to try, and its index among the agents, from 0."""

    address: Address
    number: int


class CallRouting:
    """Routes calls by the directory as last loaded."""

    def __init__(self, settings: ServiceSettings, directory: DirectoryFile) -> None:
        self._allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        self._directory = directory
        self._own_number = settings.number

    def own_numbers(self) -> tuple[str, ...]:
        """Return our own numbers, from the settings and the directory."""
        return (self._own_number, *self._directory.current.numbers)

    def inbound(self, form: Fields) -> InboundRoute:
        """Return who answers an inbound call, how, and in which conference."""
        # A browser chooses its own `To`, so it can't select another number's routing.
        called = "" if caller_of(form).startswith(_CLIENT) else callee_of(form)
        is_another = called != self._own_number and _NUMBER.fullmatch(called) is not None
        return replace(self._directory.current.inbound(called), called_number=called if is_another else "")

    def outbound(self) -> InboundRoute:
        """Return the settings' route, for a call that came in on no number."""
        return self._directory.current.inbound("")

    def callee(self, form: Fields) -> Address:
        """Return whom a browser, app, or SIP phone calls, or raise AddressError."""
        caller, callee, names = caller_of(form), callee_of(form), self._directory.current.destinations
        if not caller.startswith((_CLIENT, _SIP)):
            raise AddressError("who calls is no browser, app or SIP phone")
        if caller.startswith(_CLIENT) and callee not in names and _BARE_CLIENT.fullmatch(callee):
            callee = _CLIENT + callee  # Twilio's samples omit it
        try:
            return resolve_address(callee, names, self._allowed)
        except AddressError:  # a SIP phone sends an address at its own domain, whatever it dials
            dialed = _SIP_USER.match(callee) if caller.startswith(_SIP) else None
            if dialed is None:
                raise
        return resolve_address(unquote(dialed[1]), names, self._allowed)

    def next_agent(self, session_id: str, agents: Sequence[str], number: int) -> NextAgent | None:
        """Return the agent after the one at index `number`; None if none is left."""
        for following in range(number + 1, len(agents)):
            try:
                address = parse_address(agents[following])
                self._allowed.check(address)
            except AddressError as error:  # permitted when the call came in, but not any more
                log.error("destination_not_allowed", session_id=session_id, reason=error.reason)
            else:
                return NextAgent(address, following)
        return None


def call_received_event(form: Fields, inbound: InboundRoute, mode: SessionMode) -> CallReceived:
    """Return the event that opens a session, or raise MalformedCallbackError."""
    return call_received(
        form,
        inbound.agents[0],
        mode=mode,
        other_agents=inbound.agents[1:],
        attributes=inbound.attributes,
        called_number=inbound.called_number,
    )
