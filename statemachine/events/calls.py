"""Facts from Twilio about calls and the `<Dial>`s between them."""

from typing import ClassVar

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.events.base import Event
from conferral.statemachine.record import Hidden
from conferral.statemachine.states import FINAL_CALL_STATUSES

#: SIP responses that mean a refusal rather than busy. Source: RFC 3261, section 21.6.2 (603); RFC 8197 (607).
_REFUSALS = frozenset({603, 607})


class CallReceived(Event, frozen=True, kw_only=True):
    """An inbound call fetched its document and got a `<Dial>` to the agent."""

    logged: ClassVar[tuple[str, ...]] = ("mode",)

    call_sid: str
    #: The caller as Twilio names it: E.164, `client:`, `sip:`, or a word such as `anonymous`.
    customer_address: Hidden[str]
    #: The address that the `<Dial>` rings.
    agent_address: Hidden[str]
    #: CallToken, which allows showing the caller's number to others. Contains a number; empty if Twilio sends none.
    #: Source: Twilio docs, Call resource, `CallToken`.
    call_token: Hidden[str] = ""
    #: The called number, E.164; empty if it is `TWILIO_NUMBER` or not a number.
    called_number: Hidden[str] = ""
    #: A `SessionMode`; `conference` if the caller waits in a conference and no `<Dial>` rings the agent.
    mode: str = "bridge"
    #: The agents to ring next, in order, if this one fails.
    other_agents: Hidden[tuple[str, ...]] = ()
    #: What the directory sets for the called number.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class ClientCallReceived(Event, frozen=True, kw_only=True):
    """A browser or app user fetched a document to call someone, and was put into a conference to wait."""

    call_sid: str
    #: Address of the caller.
    agent_address: Hidden[str]
    #: Address to call.
    customer_address: Hidden[str]
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES


class CallProgressed(Event, frozen=True, kw_only=True):
    """A call's status callback. Source: Twilio docs, Call resource, `StatusCallback`."""

    #: Name of the call's party, from the callback URL; empty if the URL has none.
    party: str
    call_sid: str
    #: CallStatus in Twilio's words; unknown words are kept.
    status: str
    #: SIP response code at the end of the call, 0 if absent. Distinguishes a refusal (603) from busy (486).
    sip_response_code: int = 0
    #: The party's address, for rebuilding a session from callbacks.
    address: Hidden[str] = ""
    #: The caller's address, for the same purpose.
    customer_address: Hidden[str] = ""
    #: Id of the dial that placed the call, from the callback URL; empty for calls not placed by REST.
    dial: str = ""
    #: Index of the agent that a `<Dial>` rings, from 0.
    agent_number: int = 0

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.status in FINAL_CALL_STATUSES

    @property
    def reported_status(self) -> str:
        """The status to report: `rejected` for a refusal, which Twilio reports as `busy`."""
        return "rejected" if self.is_final and self.sip_response_code in _REFUSALS else self.status


class DialEnded(Event, frozen=True, kw_only=True):
    """A `<Dial>` of Conferral's ended and Twilio requested its action URL. Source: Twilio docs, TwiML `<Dial>`,
    `action`.
    """

    logged: ClassVar[tuple[str, ...]] = ("dial",)

    #: Name of the party whose `<Dial>` it was.
    party: str
    call_sid: str
    #: `bridge` if the `<Dial>` rang the other party, `conference` if it joined the conference.
    dial: str
    #: DialCallStatus in Twilio's words.
    dial_call_status: str
    #: CallStatus of the party's own call; final if it hung up first.
    call_status: str
    #: A read showed that the other side's call is live: it was moved, so this party follows it.
    other_side_is_live: bool = False
    #: Bridge only: index of the agent that it rang, from 0.
    agent_number: int = 0
    #: The dial failed at once while it showed the caller's number; a phone is redialed with Conferral's number.
    failed_with_callers_number: bool = False

    @property
    def party_is_gone(self) -> bool:
        """Whether the party's own call is over, so that Twilio ignores the answer to the action."""
        return self.call_status in FINAL_CALL_STATUSES
