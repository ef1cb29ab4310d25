"""Every TwiML document that we answer or send, made with Twilio's builder, which also does the escaping.

Source: Twilio docs, TwiML for Programmable Voice: `<Dial>`, `<Number>`, `<Client>`, `<Sip>`, `<Conference>`, `<Say>`,
`<Pause>`, `<Redirect>`, `<Hangup>`.
"""

from twilio.twiml.voice_response import Dial, VoiceResponse

from statemachine.session import AGENT, CUSTOMER
from telephony.addresses import Address, AddressKind, is_caller_id
from telephony.phrases import Phrase, words
from telephony.urls import CallbackUrls, CallCallback, ConferenceCallback, DialAction, DialKind

#: Longest TwiML that a REST update takes inline. Source: Twilio docs, Call resource, `Twiml`.
INLINE_LENGTH_MAX = 4000

_CALL_EVENTS = "initiated ringing answered completed"
_CONFERENCE_EVENTS = "start end join leave mute hold modify announcement"


class Documents:
    """Makes documents whose URLs lie under the public one and whose sentences are in the language of the settings."""

    def __init__(self, urls: CallbackUrls, *, language: str, voice: str | None) -> None:
        self._urls = urls
        self._language = language
        self._voice = voice

    def bridge_to_agent(
        self, session_id: str, agent: Address, *, caller: str, own_number: str, ring_timeout_s: int
    ) -> str:
        """An inbound caller is connected to the agent by an ordinary `<Dial>`.

        The caller hears real ringing and is not billed for it, since the call is answered when the agent answers. The
        action has to be there from the start: without one, a bridged call can't be moved without losing the caller.

        Args:
            session_id: The session's id, which is the caller's CallSid.
            agent: Whom to ring.
            caller: The caller as Twilio names it; shown to the agent where it is a number.
            own_number: Shown in its place otherwise, E.164.
            ring_timeout_s: Seconds that the agent may ring.
        """
        response = VoiceResponse()
        dial = response.dial(
            action=self._urls.dial_action(DialAction(session_id, CUSTOMER, DialKind.BRIDGE)),
            method="POST",
            answer_on_bridge=True,
            timeout=ring_timeout_s,
            caller_id=caller if is_caller_id(caller) else own_number,
        )
        _NOUNS[agent.kind](
            dial,
            agent.noun,
            status_callback=self._urls.call(CallCallback(session_id, AGENT)),
            status_callback_event=_CALL_EVENTS,
            status_callback_method="POST",
        )
        return str(response)

    def join_conference(self, session_id: str, party: str, *, label: str, room: str, attempt: int = 1) -> str:
        """A leg joins the session's conference; also sent inline in a REST redirect.

        Silent: no beep, no wait music. Nobody's leaving ends the room: flags for that are set later, by updates. Every
        join names the same callbacks, since only the first participant's count.

        Args:
            session_id: The session's id, also the conference's friendly name.
            party: The party whose leg it is.
            label: Its participant label.
            room: The conference's SID where it is known, so that a late leg can't open a second room; else its name.
            attempt: Which try of this leg to join it is, from 1 to 9.
        """
        response = VoiceResponse()
        action = DialAction(session_id, party, DialKind.CONFERENCE, attempt)
        dial = response.dial(action=self._urls.dial_action(action), method="POST")
        dial.conference(
            room,
            participant_label=label,
            beep=False,
            start_conference_on_enter=True,
            end_conference_on_exit=False,
            wait_url="",
            status_callback=self._urls.conference(ConferenceCallback(session_id)),
            status_callback_event=_CONFERENCE_EVENTS,
            status_callback_method="POST",
        )
        return str(response)

    def say_and_hang_up(self, phrase: Phrase) -> str:
        """A sentence, then the end of the call."""
        response = VoiceResponse()
        response.say(words(phrase, self._language), language=self._language, voice=self._voice)
        response.hangup()
        return str(response)

    def ask_again(self, action: DialAction, *, wait_s: int = 1) -> str:
        """Silence for some seconds, then the same dial action is asked once more."""
        response = VoiceResponse()
        response.pause(length=wait_s)
        response.redirect(self._urls.dial_action(action), method="POST")
        return str(response)

    def hang_up(self) -> str:
        """The end of the call."""
        return _HANG_UP


def _hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


_HANG_UP = _hang_up()
_NOUNS = {AddressKind.NUMBER: Dial.number, AddressKind.CLIENT: Dial.client, AddressKind.SIP: Dial.sip}
