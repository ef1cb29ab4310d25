"""Whom a call is for: what the directory says of the number that was called, and whom a browser or app asks for."""

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

#: What a browser's or app's call says of who calls. Source: Twilio docs, "TwiML for Programmable Voice", `From`.
_CLIENT, _SIP = "client:", "sip:"
#: Another browser's identity, without `client:`. One without a letter could be a number that was written wrong.
_BARE_CLIENT = re.compile(r"(?=[^@]*[A-Za-z])[A-Za-z0-9_.-]{1,128}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
#: What a SIP phone has dialed: the part before the host. Source: RFC 3261, section 19.1.1.
_SIP_USER = re.compile(r"sip:([^@;?]{1,128})@")


@dataclass(frozen=True, slots=True)
class NextAgent:
    """An agent who is to be tried."""

    address: Address
    #: Which of the agents to be tried it is, from 0.
    number: int


class CallRouting:
    """Answers from the directory as it was read last."""

    def __init__(self, settings: ServiceSettings, directory: DirectoryFile) -> None:
        """Reads the allow-list.

        Raises:
            SettingsError: the allow-list is wrong.
        """
        self._allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        self._directory = directory
        self._own_number = settings.number

    def own_numbers(self) -> frozenset[str]:
        """The numbers that the settings and the directory name as ours."""
        return frozenset((self._own_number, *self._directory.current.numbers))

    def inbound(self, form: Fields) -> InboundRoute:
        """Who answers an inbound call, how, and what holds for its conference.

        What a browser says that it has called is the browser's choice: it opens no other number's routing.
        """
        called = "" if caller_of(form).startswith(_CLIENT) else callee_of(form)
        is_another = called != self._own_number and _NUMBER.fullmatch(called) is not None
        return replace(self._directory.current.inbound(called), called_number=called if is_another else "")

    def outbound(self) -> InboundRoute:
        """The same for a call that came in on no number: what the settings say."""
        return self._directory.current.inbound("")

    def callee(self, form: Fields) -> Address:
        """Whom a browser, an app or a SIP phone calls: held against the allow-list.

        A SIP phone says an address at its own domain whatever it dials; where that is nobody who may be called, the
        part before the host is what was dialled. A browser may leave out `client:`, as Twilio's samples do.

        Raises:
            AddressError: who calls is none of these, or it may not be called; the reason does not name it.
        """
        caller, callee, names = caller_of(form), callee_of(form), self._directory.current.destinations
        if not caller.startswith((_CLIENT, _SIP)):
            raise AddressError("who calls is no browser, app or SIP phone")
        if caller.startswith(_CLIENT) and callee not in names and _BARE_CLIENT.fullmatch(callee):
            callee = _CLIENT + callee
        try:
            return resolve_address(callee, names, self._allowed)
        except AddressError:
            dialled = _SIP_USER.match(callee) if caller.startswith(_SIP) else None
            if dialled is None:
                raise
        return resolve_address(unquote(dialled[1]), names, self._allowed)

    def next_agent(self, session_id: str, agents: Sequence[str], number: int) -> NextAgent | None:
        """Who is tried after an agent who could not be had; None when there is nobody else.

        Args:
            session_id: For the log.
            agents: Addresses of the agents to be tried, in their order.
            number: Which of them was tried last, from 0.
        """
        for following in range(number + 1, len(agents)):
            try:
                address = parse_address(agents[following])
                self._allowed.check(address)
            except AddressError as error:  # allowed once, and not any more
                log.error("destination_not_allowed", session_id=session_id, reason=error.reason)
            else:
                return NextAgent(address, following)
        return None


def call_received_event(form: Fields, inbound: InboundRoute, mode: SessionMode) -> CallReceived:
    """That a call has come in, which opens its session.

    Args:
        form: Of any request that Twilio makes for the call.
        inbound: Who answers it; at least one agent.
        mode: How the caller is connected.

    Raises:
        MalformedCallbackError: a field is missing or malformed.
    """
    return call_received(
        form,
        inbound.agents[0],
        mode=mode,
        other_agents=inbound.agents[1:],
        attributes=inbound.attributes,
        called_number=inbound.called_number,
    )
