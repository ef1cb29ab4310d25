"""TwiML documents: everything Conferral answers or sends, built and escaped by twilio-python.

Source: Twilio docs, TwiML for Programmable Voice: `<Dial>`, `<Number>`, `<Client>`, `<Sip>`, `<Conference>`,
`<Gather>`, `<Say>`, `<Play>`, `<Pause>`, `<Redirect>`, `<Hangup>`.
"""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from twilio.twiml.voice_response import Dial, VoiceResponse

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.effects import RedirectCall
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.telephony.addresses import Address, AddressKind, is_caller_id
from conferral.telephony.callback_urls import (
    CallbackUrls,
    CallCallback,
    DialAction,
    DialKind,
    Wait,
    wait_audio_named,
)
from conferral.telephony.document_templates import DocumentTemplates
from conferral.telephony.parameters.conference import conference_attributes
from conferral.telephony.prompts import PromptBuilder

#: Longest TwiML that a REST update accepts inline. Source: Twilio docs, Call resource, `Twiml`.
INLINE_LENGTH_MAX = 4000

#: Longest id or label, and longest conference name (characters).
_ID_LENGTH_MAX, _CONFERENCE_LENGTH_MAX = 64, 128

#: Events requested of every call. Source: Twilio docs, Call resource, `StatusCallbackEvent`.
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")


class JoinOptions(TypedDict, total=False):
    """How a leg joins a conference."""

    #: Attempt to join this leg, from 1 to 9.
    attempt: int
    #: Whether the leg starts the conference. If not, it waits until another leg starts it. By default, a leg that hears
    #: wait audio does not, and every other one does.
    start_on_enter: bool | None
    #: What the leg hears while it is alone, `ringback` or `music`. Empty, by default, for silence.
    wait_audio: str
    #: Whether it hears Twilio's own music instead.
    default_music: bool
    #: Whether the greeting precedes the wait audio.
    with_greeting: bool
    #: Whether it is the caller waiting for the first agent.
    opens_session: bool
    #: Whether it joins muted and never starts the conference.
    supervises: bool
    attributes: ConferenceAttributes


class TwimlBuilder(PromptBuilder):
    """Builds all TwiML documents: those that connect calls, and prompts."""

    def __init__(
        self, urls: CallbackUrls, *, language: str, voice: str | None, with_speaker_events: bool = False
    ) -> None:
        super().__init__(urls, language=language, voice=voice, with_speaker_events=with_speaker_events)
        self._templates = DocumentTemplates()

    def bridge_to_agent(
        self,
        session_id: str,
        agent: Address,
        *,
        caller: str,
        own_number: str,
        ring_timeout_s: int,
        agent_number: int = 0,
        own_number_from: int = 0,
    ) -> str:
        """Connect an inbound caller to the agent with a plain `<Dial>`.

        The caller hears real ringing and is not billed for it, because the call is answered when the agent answers. The
        action must be there from the start: without one, a bridged call can't be moved without losing the caller.

        Args:
            session_id: The session's id, which is the caller's CallSid.
            caller: The caller as Twilio names it; shown to the agent if it is a number.
            own_number: Shown otherwise, E.164.
            agent_number: Index of the agent, from 0: action and callbacks carry it.
            own_number_from: Index of the first agent to whom only `own_number` is shown; 0 for none.
        """
        response = VoiceResponse()
        action = DialAction(
            session_id, CUSTOMER, DialKind.BRIDGE, agent_number=agent_number, own_number_from=own_number_from
        )
        dial = response.dial(
            action=self._urls.dial_action(action),
            method="POST",
            answer_on_bridge=True,
            timeout=ring_timeout_s,
            caller_id=caller if is_caller_id(caller) and not own_number_from else own_number,
        )
        self._add_callee(dial, agent, CallCallback(session_id, AGENT, agent_number=agent_number))
        return str(response)

    def bridge_to_customer(
        self,
        session_id: str,
        customer: Address,
        *,
        own_number: str,
        ring_timeout_s: int,
        brief: str = "",
        conference_name: str = "",
    ) -> str:
        """Connect the agent of a `call`, admitted by the gate, to the customer with a plain `<Dial>`.

        The agent hears real ringing; the agent's own call is already answered.

        Args:
            customer: The address to ring, already checked against the allow-list.
            own_number: Shown to the customer, E.164.
            brief: Said to the agent first; empty for nothing.
            conference_name: Name of the session's conference; empty if it equals the session's id.
        """
        response = VoiceResponse()
        self._brief(response, brief, "")
        action = DialAction(session_id, AGENT, DialKind.BRIDGE, conference_name=conference_name)
        dial = response.dial(
            action=self._urls.dial_action(action),
            method="POST",
            timeout=ring_timeout_s,
            caller_id=own_number,
        )
        self._add_callee(dial, customer, CallCallback(session_id, CUSTOMER))
        return str(response)

    def join_conference(
        self,
        session_id: str,
        party: str,
        *,
        label: str,
        conference: str,
        conference_name: str = "",
        brief: str = "",
        recall_reason: str = "",
        **options: Unpack[JoinOptions],
    ) -> str:
        """Join a leg to the session's conference, after the briefing if there is one.

        There is no beep unless the session's attributes set one. No party's leaving ends the conference: updates set
        `EndConferenceOnExit` later. Every join names the same callbacks, because only the first participant's count.

        Args:
            conference: Conference SID if known, so that a late leg can't open a second one; else the conference name.
            conference_name: The conference's name; empty if it equals the session's id.
            brief: The operator's text; empty for none, and once it was said.
            recall_reason: Recalled agents only: the reason, such as `busy`; empty for all others, and once it was said.
            options: All else.
        """
        other_name = [] if conference_name in ("", session_id) else [conference_name]
        names = [session_id, label, conference, *other_name]

        def build(names: Sequence[str]) -> str:
            response = VoiceResponse()
            self._brief(response, brief, recall_reason)
            self._join(response, party, *names, **options)
            return str(response)

        if brief or recall_reason:
            return build(names)
        return self._templates.fill((party, len(names), *sorted(options.items())), names, build)

    def _join(
        self,
        response: VoiceResponse,
        party: str,
        session_id: str,
        label: str,
        conference: str,
        conference_name: str = "",
        *,
        attempt: int = 1,
        start_on_enter: bool | None = None,
        wait_audio: str = "",
        default_music: bool = False,
        with_greeting: bool = False,
        opens_session: bool = False,
        supervises: bool = False,
        attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES,
    ) -> None:
        wait_attributes = {} if default_music else {"wait_url": ""}
        if wait_audio:
            wait = Wait(session_id, party, wait_audio_named(wait_audio), with_greeting, opens_session)
            wait_attributes = {"wait_url": self._urls.wait(wait), "wait_method": "POST"}
        action = DialAction(session_id, party, DialKind.CONFERENCE, attempt, conference_name=conference_name)
        dial = response.dial(action=self._urls.dial_action(action), method="POST", **_time_limits(party, attributes))
        dial.conference(
            conference,
            participant_label=label,
            start_conference_on_enter=(not wait_audio if start_on_enter is None else start_on_enter) and not supervises,
            end_conference_on_exit=False,
            **({"muted": True} if supervises else {}),
            **wait_attributes,
            **conference_attributes(attributes, recording_url=self._urls.recording(session_id)),
            status_callback=self._urls.conference(session_id),
            status_callback_event=" ".join(self.conference_events),
            status_callback_method="POST",
        )

    def join_redirected(self, effect: RedirectCall) -> str:
        """Join a redirected call to the session's conference; sent inline in the REST update."""
        return self.join_conference(
            effect.session_id,
            effect.party,
            label=effect.label,
            conference=effect.conference,
            conference_name=effect.conference_name,
            attempt=effect.attempt,
            wait_audio=effect.wait_audio,
            attributes=effect.attributes,
        )

    def longest_inline_join(self, attributes: ConferenceAttributes) -> str:
        """Return the longest TwiML that is ever sent inline for a session with these attributes: a join."""
        longest, conference = "x" * _ID_LENGTH_MAX, "x" * _CONFERENCE_LENGTH_MAX
        return self.join_conference(
            longest,
            longest,
            label=longest,
            conference=conference,
            conference_name=conference,
            attempt=9,
            wait_audio="ringback",
            attributes=attributes,
        )

    # ---- parts of documents ---------------------------------------------------------------------------------------

    def _add_callee(self, dial: Dial, address: Address, callback: CallCallback) -> None:
        """Add whom the `<Dial>` calls (`<Number>`, `<Client>`, or `<Sip>`), with the callbacks of that call."""
        _NOUNS[address.kind](
            dial,
            address.noun,
            status_callback=self._urls.call(callback),
            status_callback_event=" ".join(CALL_EVENTS),
            status_callback_method="POST",
        )


def _time_limits(party: str, attributes: ConferenceAttributes) -> dict[str, Any]:
    """Return the limits of the customer's time in the conference; empty for all other parties."""
    if party != CUSTOMER:
        return {}
    limit = {"time_limit": attributes.time_limit_s} if attributes.time_limit_s else {}
    return limit | ({"hangup_on_star": True} if attributes.hangup_on_star else {})


_NOUNS = {AddressKind.NUMBER: Dial.number, AddressKind.CLIENT: Dial.client, AddressKind.SIP: Dial.sip}
