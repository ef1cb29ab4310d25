"""Call routing: who answers a number, and whom a browser or app calls."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from conferral.runtime.settings import ServiceSettings
from conferral.telephony.addresses import (
    Address,
    AddressError,
    AddressKind,
    dialed_number,
    global_domain,
    is_caller_id,
    number_in,
    number_or_address,
    own_number_in,
    parse_address,
    parse_uri,
    resolve_address,
)
from conferral.telephony.callback_events import (
    Fields,
    business_of,
    callee_of,
    caller_of,
    customer_of,
    is_placed_by_rest,
    sip_domain_of,
)
from conferral.telephony.directory import DirectoryFile, InboundRoute

log = structlog.get_logger()

#: Prefixes of `From`. Source: Twilio docs, "TwiML for Programmable Voice", `From`.
_CLIENT, _SIP = "client:", ("sip:", "sips:")
#: Another browser's identity, without `client:`. Without a letter, it could be a mistyped number.
_BARE_CLIENT = re.compile(r"(?=[^@]*[A-Za-z])[A-Za-z0-9_.-]{1,256}")
#: Parameters of a SIP URI that don't say where to send the call.
_OTHER_PARAMETERS = re.compile(r"[;?](?!transport=).*")
#: Every call to a Twilio SIP domain comes from its phones. Source: Twilio docs, SIP Domain resource.
_TWILIO_DOMAINS = ".sip.twilio.com"


@dataclass(frozen=True, slots=True)
class NextAgent:
    """The next agent to try, and its index among the agents, from 0."""

    address: Address
    number: int


class CallRouting:
    """Routes calls by the directory as last loaded."""

    def __init__(self, settings: ServiceSettings, directory: DirectoryFile) -> None:
        self._own, self.allowed = directory.own_numbers, directory.allowed
        self._directory = directory
        self._own_number = settings.number

    def destinations(self) -> Mapping[str, str]:
        """Return the directory's addresses by name."""
        return self._directory.current.destinations

    def people(self) -> Collection[str]:
        """Return the identities of those who work at desks."""
        return self._directory.current.agents.keys()

    def own_numbers(self) -> tuple[str, ...]:
        """Return our own numbers, from the settings and the directory."""
        return self._own.configured

    def inbound(self, form: Fields) -> InboundRoute:
        """Return who answers an inbound call, how, and in which conference."""
        # A browser chooses its own `To`, so it can't select another number's routing.
        called = "" if customer_of(form).startswith(_CLIENT) else number_in(business_of(form), self._own_number)
        directory = self._directory.current
        # SIP callers write any number into the URI: only a number of the directory is the business's.
        is_ours = called == business_of(form) or called in directory.numbers
        is_another = called != self._own_number and is_ours
        route = directory.inbound(called)
        # The account's numbers were not known yet when the directory was read.
        agents = tuple(agent for agent in route.agents if not own_number_in(agent, self._own))
        if len(agents) < len(route.agents):
            reason = "an agent is a number in the account: the call would come in again"
            log.error("destination_not_allowed", call_sid=form.get("CallSid", ""), reason=reason)
        return replace(route, agents=agents, called_number=called if is_another else "")

    def caller(self, form: Fields) -> str:
        """Return the customer: the number in a SIP address if there is one."""
        return number_or_address(customer_of(form), self._own_number)

    def business_number(self, form: Fields, agent: Address) -> str:
        """Return the number that represents the business to an agent."""
        # Twilio may not know a number that came in a SIP address, and then refuses it as caller ID.
        is_unknown = agent.kind is AddressKind.NUMBER and parse_uri(business_of(form)) is not None
        return (not is_unknown and self.inbound(form).called_number) or self._own_number

    def presentable_number(self, form: Fields, agent: Address) -> str:
        """Return the caller's number if that agent can be shown it; else empty."""
        number = self.caller(form)
        # Its own number, as caller, may open the voicemail of the agent's phone.
        is_the_agents = number == number_in(agent.text, self._own_number)
        # Twilio shows a number that is not ours only of a call that came in. Source: Twilio docs, Errors, 13214.
        is_refused = is_the_agents or is_placed_by_rest(form)
        return number if not is_refused and is_caller_id(number) else ""

    def outbound(self) -> InboundRoute:
        """Return the settings' route, for a call that came in on no number."""
        return self._directory.current.inbound("")

    def identity(self, form: Fields) -> str:
        """Return under whose name a browser or SIP phone's calls are counted."""
        caller = caller_of(form)
        uri = parse_uri(caller)
        # A phone writes the rest of its address as it likes; Twilio says which domain it called.
        return f"sip:{uri.user}@{global_domain(sip_domain_of(form) or uri.domain)}".casefold() if uri else caller

    def callee(self, form: Fields) -> Address:
        """Return whom a browser, app, or SIP phone calls, or raise AddressError."""
        caller, callee = caller_of(form), callee_of(form)
        twin = form.get("Caller", "")
        if twin.startswith(_CLIENT) and twin != form.get("From"):  # a browser's own `From` may replace Twilio's
            raise AddressError("it is unclear who calls: From and Caller differ")
        if caller.startswith(_CLIENT):
            return self._named(callee)
        if not caller.startswith(_SIP):
            raise AddressError("who calls is no browser, app or SIP phone")
        phone = parse_uri(caller)
        home = global_domain(sip_domain_of(form)) or (phone.domain if phone else "")
        return self._dialed_on_phone(callee, home)

    def _named(self, callee: str) -> Address:
        """Return whom a text names; raise AddressError if there is no one."""
        names = self._directory.current.destinations
        if callee not in names and _BARE_CLIENT.fullmatch(callee):
            callee = _CLIENT + callee  # Twilio's samples omit it
        return resolve_address(callee, names, self.allowed)

    def _dialed_on_phone(self, callee: str, home: str) -> Address:
        """Return whom a SIP phone calls; raise AddressError if no one may be.

        `home` is the domain that the call came over.
        """
        dialed = parse_uri(callee)
        if dialed is None or not dialed.domain:
            user = dialed.user if dialed else callee
            return self._named(dialed_number(user, self._own_number) or user)
        # A phone sends an address at its own domain, whatever it dials. Colleagues are at that domain, too.
        colleague = f"sip:{_OTHER_PARAMETERS.sub('', callee.partition(':')[2])}"
        is_listed = self.allowed.names_domain(dialed.domain)
        is_at_home = dialed.domain == home or (is_listed and dialed.domain.endswith(_TWILIO_DOMAINS))
        is_allowed = self._is_allowed(colleague)
        if number := dialed_number(dialed.user, self._own_number):
            if is_at_home or not is_allowed:
                return self._named(number)
        elif is_at_home or is_listed:
            if not is_allowed or (is_at_home and dialed.user in self._directory.current.destinations):
                return self._named(dialed.user)
        else:  # at someone else's domain, the same name is someone else
            self.allowed.check(parse_address(colleague))
        return parse_address(colleague)

    def _is_allowed(self, text: str) -> bool:
        try:
            self.allowed.check(parse_address(text))
        except AddressError:
            return False
        return True

    def next_agent(self, session_id: str, agents: Sequence[str], number: int) -> NextAgent | None:
        """Return the agent after the one at index `number`; None if none is left."""
        for following in range(number + 1, len(agents)):
            try:
                address = parse_address(agents[following])
                self.allowed.check(address)
            except AddressError as error:  # permitted when the call came in, but not any more
                log.error("destination_not_allowed", session_id=session_id, reason=error.reason)
            else:
                return NextAgent(address, following)
        return None
