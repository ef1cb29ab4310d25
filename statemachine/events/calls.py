"""Facts from Twilio: calls, and the `<Dial>`s between them."""

from dataclasses import dataclass, field
from typing import ClassVar

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.events.base import Event
from conferral.statemachine.states import FINAL_CALL_STATUSES

#: SIP answers that mean "I don't want to", not "I am busy". Source: RFC 3261, sections 21.6.2 and 21.6.4.
_REFUSALS = frozenset({603, 607})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReceived(Event):
    """An inbound call asked for its document and was answered with a `<Dial>` to the agent."""

    name: ClassVar[str] = "call_received"

    call_sid: str
    #: The caller as Twilio names it: E.164, `client:`, `sip:` or a word such as `anonymous`.
    customer_address: str = field(repr=False)
    #: Whom the `<Dial>` rings.
    agent_address: str = field(repr=False)
    #: With it the caller's number may be shown to others. Contains a number; empty where Twilio sends none.
    #: Source: Twilio docs, Call resource, `CallToken`.
    call_token: str = field(default="", repr=False)
    #: The number that was called, E.164; empty if it is `TWILIO_NUMBER` or no number.
    called_number: str = field(default="", repr=False)
    #: One of `SessionMode`: `conference` where the caller waits in a conference and nobody rings by `<Dial>`.
    mode: str = "bridge"
    #: Who is tried when that agent fails, in their order.
    other_agents: tuple[str, ...] = field(default=(), repr=False)
    #: What the directory says of the number that was called.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCallReceived(Event):
    """A browser or app user asked for a document, to call somebody, and was answered with a conference to wait in."""

    name: ClassVar[str] = "client_call_received"

    call_sid: str
    #: Who calls.
    agent_address: str = field(repr=False)
    #: Whom to call.
    customer_address: str = field(repr=False)
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProgressed(Event):
    """A call's status callback. Source: Twilio docs, Call resource, `StatusCallback`."""

    name: ClassVar[str] = "call_progressed"

    #: The party whose call it is, as the callback URL says; empty where the URL names none.
    party: str
    call_sid: str
    #: Twilio's CallStatus, in its own words; unknown words are kept.
    status: str
    #: SIP response code of the end, 0 when absent: tells a refusal (603) from busy (486).
    sip_response_code: int = 0
    #: The address of the party, for sessions that have to be rebuilt from callbacks.
    address: str = field(default="", repr=False)
    #: The caller's address, likewise.
    customer_address: str = field(default="", repr=False)
    #: Id of the dial that made the call, as the callback URL says; empty for calls that were not placed by REST.
    dial: str = ""
    #: Of an agent whom a `<Dial>` rings: which of the agents to be tried it is, from 0.
    agent_number: int = 0

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.status in FINAL_CALL_STATUSES

    @property
    def reported_status(self) -> str:
        """The status as it is told: of somebody who does not want to, Twilio says that he is busy."""
        return "rejected" if self.is_final and self.sip_response_code in _REFUSALS else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class DialEnded(Event):
    """A `<Dial>` of ours ended and its action URL was asked. Source: Twilio docs, TwiML `<Dial>`, `action`."""

    name: ClassVar[str] = "dial_ended"

    #: The party whose `<Dial>` it was.
    party: str
    call_sid: str
    #: `bridge` for the first `<Dial>` to the agent, `conference` for one into the conference.
    dial: str
    #: DialCallStatus in Twilio's words.
    dial_call_status: str
    #: CallStatus of the party's own call: final when it hung up first.
    call_status: str
    #: Twilio was asked, and said that the other side lives on: it was moved, so this party follows it.
    other_side_is_live: bool = False
    #: Of the bridge: which of the agents to be tried it rang, from 0.
    agent_number: int = 0
    #: The dial failed at once, and it showed the caller's number: a phone is rung again with ours.
    failed_with_callers_number: bool = False

    @property
    def party_is_gone(self) -> bool:
        """Whether the party's own call is over, so that the answer to the action is ignored."""
        return self.call_status in FINAL_CALL_STATUSES
