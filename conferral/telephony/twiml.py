"""TwiML documents that Conferral answers or sends.

Source: Twilio docs, TwiML for Programmable Voice: `<Dial>` and its nouns, and the other verbs.
"""

import re
from typing import Any, Self
from urllib.parse import parse_qsl

from twilio.twiml.voice_response import Dial, Gather, Hangup, VoiceResponse

from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import RedirectCall
from conferral.statemachine.parts import (
    AGENTS_CONFIRM_FOR_S,
    DEFAULT_ATTRIBUTES,
    DEFAULT_OPTIONS,
    ConferenceAttributes,
    DialOptions,
)
from conferral.statemachine.session import AGENT, CUSTOMER, bridge_dial
from conferral.telephony.addresses import Address, AddressKind, address_with_params
from conferral.telephony.callback_urls import (
    FALLBACK_PATH,
    CallbackUrls,
    CallCallback,
    DialAction,
    DialKind,
    Gate,
    Wait,
    handed_off_query,
    wait_audio_named,
)
from conferral.telephony.phrases import Phrase, recall_phrase, sentence_in

#: Events requested of every call. Source: Twilio docs, Call resource, `StatusCallbackEvent`.
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")

#: Invalid in XML even if escaped; an operator's text may have them. Source: W3C, XML 1.0, section 2.2.
_INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How often the gate asks a call for a key, count.
GATE_QUESTIONS = 3
#: How long the gate's question takes to say.
_SAY_S_PER_CHARACTER = 0.07
#: Length of a silence before Twilio requests the wait document again, seconds.
_SILENCE_S = 10
#: Length of a pause before a document is requested again because Redis did not answer, seconds.
RETRY_AFTER_S = 1
#: An empty document: a `<Dial>` then connects its two parties. And one that only hangs up.
END_OF_DOCUMENT = str(VoiceResponse())
HANG_UP = str(VoiceResponse().append(Hangup()))


class TwimlBuilder:
    """Builds documents that speak, ask for a key, wait, or connect calls.

    `brief` is the operator's text; `rung_again_because`, such as `busy`, says why an agent is rung again. Both may be
    empty.
    `gate` and `wait` are the request that a document answers; its last verb makes the next one.
    """

    def __init__(
        self,
        urls: CallbackUrls,
        *,
        language: str,
        voice: str | None,
        voicemail_greeting: str | None = None,
        voicemail_limit_s: int = 120,
    ) -> None:
        self._urls = urls
        self._voicemail_greeting = voicemail_greeting
        self._voicemail_limit_s = voicemail_limit_s
        self._language = language
        self._voice = voice

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Return the builder that the settings describe."""
        return cls(
            CallbackUrls(settings.public_url),
            language=settings.language,
            voice=settings.voice,
            voicemail_greeting=settings.voicemail_greeting,
            voicemail_limit_s=settings.voicemail_limit_s,
        )

    def gate_brief(self, gate: Gate, *, brief: str = "", rung_again_because: str = "") -> str:
        """Brief a ring group's party; only then, a `<Redirect>` asks to admit it."""
        response = VoiceResponse()
        self._brief(response, brief, rung_again_because)
        response.redirect(self._urls.of(gate.after_brief()), method="POST")
        return str(response)

    def ask_for_key(self, gate: Gate, confirm_for_s: int, *, brief: str = "", rung_again_because: str = "") -> str:
        """Play the briefing; ask for a key (DTMF), in all for `confirm_for_s`."""
        question = sentence_in(Phrase.PRESS_ONE, self._language)
        pauses_s = int(confirm_for_s - GATE_QUESTIONS * len(question) * _SAY_S_PER_CHARACTER)
        response = VoiceResponse()
        gather = response.gather(
            action=self._urls.of(gate.next_question()),
            method="POST",
            num_digits=1,
            timeout=(pauses_s + gate.question - 1) // GATE_QUESTIONS,  # adds up to all pauses
            finish_on_key="",  # every key counts, including `#`
            action_on_empty_result=True,
        )
        self._brief(gather, brief, rung_again_because)
        self._say(gather, question)
        return str(response)

    def retry(self, next_request: DialAction | Gate) -> str:
        """Pause, then request the same document again."""
        return _pause_then_request(self._urls.of(next_request))

    def retry_voice_url(self, path: str, request_number: int, query: str = "") -> str:
        """Pause, then request a voice URL again."""
        return _pause_then_request(self._urls.voice(path, request_number, query))

    def say_and_fall_back(self, phrase: Phrase, options: str) -> str:
        """Say a phrase, then request the fallback URL for a hand-off's caller."""
        response = VoiceResponse()
        self._say(response, sentence_in(phrase, self._language))
        response.redirect(self._urls.voice(FALLBACK_PATH, 1, handed_off_query(options)), method="POST")
        return str(response)

    def hold_music(self, wait: Wait, *, audio_url: str | None, asks: bool = False) -> str:
        """Play hold music or ringing (`audio_url`) once; None for silence.

        `asks`: a caller in a queue is first asked to stay on the line.

        A `<Redirect>` requests the document again: Twilio does not loop audio on hold, and the audio may have changed.
        Source: Twilio docs, Errors, 13238: only `<Say>`, `<Play>`, `<Pause>`, and `<Redirect>` are allowed here.
        """
        response = VoiceResponse()
        if asks:
            self._say(response, sentence_in(Phrase.PLEASE_WAIT, self._language))
        if audio_url is None:
            response.pause(length=_SILENCE_S)
        else:
            response.play(audio_url)
        response.redirect(self._urls.of(wait), method="POST")
        return str(response)

    def greeting(self, wait: Wait, text: str) -> str:
        """Say the greeting, if any, to a party that waits; wait audio follows."""
        response = VoiceResponse()
        if text:
            self._say(response, text)
        response.redirect(self._urls.of(wait.after_greeting()), method="POST")
        return str(response)

    def announcement(self, text: str, digits: str = "") -> str:
        """Say a text or play digits; without, pause: Twilio needs a verb."""
        response = VoiceResponse()
        if digits:
            response.play(digits=digits)
        elif text:
            self._say(response, text)
        else:
            response.pause(length=1)
        return str(response)

    def redirect(self, url: str) -> str:
        """Continue the call with your app's TwiML, requested by POST."""
        response = VoiceResponse()
        response.redirect(url, method="POST")
        return str(response)

    def say_and_hang_up(self, phrase: Phrase) -> str:
        """Say a phrase, then hang up."""
        response = VoiceResponse()
        self._say(response, sentence_in(phrase, self._language))
        response.hangup()
        return str(response)

    def voicemail(self, session_id: str) -> str:
        """Say the greeting, and record a message; short enough for a REST update.

        After a silent message, Twilio goes on with the next verb. Source: Twilio docs, TwiML `<Record>`.
        """
        response = VoiceResponse()
        self._say(response, self._voicemail_greeting or sentence_in(Phrase.LEAVE_MESSAGE, self._language))
        response.record(
            action=self._urls.voicemail(session_id),
            method="POST",
            max_length=self._voicemail_limit_s,
            recording_status_callback=self._urls.recording(session_id),
            recording_status_callback_method="POST",
            recording_status_callback_event=" ".join(RECORDING_EVENTS),
        )
        response.hangup()
        return str(response)

    def _brief(self, verbs: VoiceResponse | Gather, brief: str, rung_again_because: str) -> None:
        """Say why a recalled agent is called, and the operator's briefing."""
        if rung_again_because:
            self._say(verbs, sentence_in(recall_phrase(rung_again_because), self._language))
        if brief:
            self._say(verbs, brief)

    def _say(self, verbs: VoiceResponse | Gather, text: str) -> None:
        verbs.say(_INVALID_XML.sub(" ", text), language=self._language, voice=self._voice)

    def bridge_to_agent(
        self,
        session_id: str,
        agent: Address,
        *,
        caller: str,
        own_number: str,
        ring_timeout_s: int,
        agent_number: int = 0,
        own_number_from_agent: int = 0,
        options: DialOptions = DEFAULT_OPTIONS,
        without_redis: bool = False,
        only_agent: bool = False,
    ) -> str:
        """Connect an inbound caller to the agent with a plain `<Dial>`.

        The caller hears real ringing and is not billed for it: the call is answered when the agent answers. Without an
        action from the start, a bridged call can't be moved without losing the caller. The agent sees `own_number` if
        `caller` is empty, or `own_number_from_agent` is not 0. For `without_redis` and `only_agent`, see `DialAction`.
        """
        response = VoiceResponse()
        action = DialAction(
            session_id,
            CUSTOMER,
            DialKind.BRIDGE,
            agent_number=agent_number,
            own_number_from_agent=own_number_from_agent,
            without_redis=without_redis,
            only_agent=only_agent,
        )
        dial = response.dial(
            action=self._urls.of(action),
            method="POST",
            answer_on_bridge=True,
            timeout=options.timeout_s or ring_timeout_s,
            caller_id=caller if caller and not own_number_from_agent else own_number,
        )
        callback = CallCallback(
            session_id, AGENT, agent_number=agent_number, without_redis=without_redis, only_agent=only_agent
        )
        confirm = options.confirm and agent.kind is AddressKind.NUMBER
        confirm_for_s = (options.confirm_for_s or AGENTS_CONFIRM_FOR_S) if confirm else 0
        gate = Gate(session_id, bridge_dial(agent_number), confirm_for_s=confirm_for_s)
        gate_url = self._urls.of(gate) if confirm or options.brief else ""
        _add_callee(dial, agent, self._urls.of(callback), gate_url=gate_url, params=options.params)
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
        without_redis: bool = False,
    ) -> str:
        """Connect the agent of a `call` to the customer with a plain `<Dial>`.

        The agent hears real ringing. The customer, who was checked against the allow-list, sees `own_number`. An empty
        `conference_name` equals the session's id. For `without_redis`, see `DialAction`.
        """
        response = VoiceResponse()
        self._brief(response, brief, "")
        action = DialAction(
            session_id, AGENT, DialKind.BRIDGE, conference_name=conference_name, without_redis=without_redis
        )
        dial = response.dial(action=self._urls.of(action), method="POST", timeout=ring_timeout_s, caller_id=own_number)
        _add_callee(dial, customer, self._urls.of(CallCallback(session_id, CUSTOMER, without_redis=without_redis)))
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
        rung_again_because: str = "",
        attempt: int = 1,
        start_on_enter: bool | None = None,
        wait_audio: str = "",
        default_music: bool = False,
        with_greeting: bool = False,
        opens_session: bool = False,
        supervises: bool = False,
        muted: bool = False,
        attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES,
    ) -> str:
        """Join a leg to the session's conference, after the briefing if any.

        No party's leaving ends the conference: updates set `EndConferenceOnExit` later. Every join names the same
        callbacks, because only the first participant's count.

        Args:
            conference: Conference SID if known, so that a late leg can't open a second one; else the conference name.
            conference_name: The conference's name; empty if it equals the session's id.
            attempt: Attempt to join this leg, from 1 to 9.
            start_on_enter: Whether the leg starts the conference; by default, unless it hears wait audio.
            wait_audio: What the leg hears alone: `ringback`, `music`, `silence`; empty for silence without requests.
            default_music: Whether it hears Twilio's own music instead.
            opens_session: Whether it is the caller waiting for the first agent.
            supervises: Whether it joins muted, as with `muted`, and never starts the conference.
        """
        response = VoiceResponse()
        self._brief(response, brief, rung_again_because)
        wait_attributes = {} if default_music else {"wait_url": ""}
        if wait_audio:
            wait = Wait(session_id, party, wait_audio_named(wait_audio), with_greeting, opens_session)
            wait_attributes = {"wait_url": self._urls.of(wait), "wait_method": "POST"}
        other_name = "" if conference_name == session_id else conference_name
        action = DialAction(session_id, party, DialKind.CONFERENCE, attempt, conference_name=other_name)
        dial = response.dial(action=self._urls.of(action), method="POST", **_customer_options(party, attributes))
        starts = not wait_audio if start_on_enter is None else start_on_enter
        dial.conference(
            conference,
            participant_label=label,
            start_conference_on_enter=starts and not supervises,
            end_conference_on_exit=False,
            **({"muted": True} if supervises or muted else {}),
            **wait_attributes,
            **conference_attributes(attributes, self._urls.recording(session_id), by_rest=False),
            status_callback=self._urls.conference(session_id),
            status_callback_event=" ".join(CONFERENCE_EVENTS),
            status_callback_method="POST",
        )
        return str(response)

    def join_redirected(self, effect: RedirectCall) -> str:
        """Join a redirected call; sent inline in the REST update."""
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


def _add_callee(dial: Dial, address: Address, callback_url: str, *, gate_url: str = "", params: str = "") -> None:
    """Add whom the `<Dial>` calls, with the callbacks of that call."""
    callee = address_with_params(address.noun, params) if address.kind is AddressKind.SIP else address.noun
    is_client_with_params = address.kind is AddressKind.CLIENT and bool(params)
    noun = _NOUNS[address.kind](
        dial,
        "" if is_client_with_params else callee,
        **({"url": gate_url, "method": "POST"} if gate_url else {}),
        status_callback=callback_url,
        status_callback_event=" ".join(CALL_EVENTS),
        status_callback_method="POST",
    )
    if is_client_with_params:
        noun.identity(callee)
        for name, value in parse_qsl(params, keep_blank_values=True):
            noun.parameter(name=name, value=value)


def _pause_then_request(url: str) -> str:
    response = VoiceResponse()
    response.pause(length=RETRY_AFTER_S)
    response.redirect(url, method="POST")
    return str(response)


def _customer_options(party: str, attributes: ConferenceAttributes) -> dict[str, Any]:
    """Return the customer's `timeLimit` and `hangupOnStar`; empty for others."""
    if party != CUSTOMER:
        return {}
    limit = {"time_limit": attributes.time_limit_s} if attributes.time_limit_s else {}
    return limit | ({"hangup_on_star": True} if attributes.hangup_on_star else {})


_NOUNS = {AddressKind.NUMBER: Dial.number, AddressKind.CLIENT: Dial.client, AddressKind.SIP: Dial.sip}
#: Events requested of every conference, however a leg joins it.
#: Source: Twilio docs, TwiML `<Conference>`, `statusCallbackEvent`.
CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify", "announcement")
#: Events requested of every recording. Source: Twilio docs, Recordings resource, `RecordingStatusCallbackEvent`.
RECORDING_EVENTS = ("in-progress", "completed", "absent")


def conference_attributes(attributes: ConferenceAttributes, recording_url: str, *, by_rest: bool) -> dict[str, Any]:
    """Return attributes of `<Conference>`, or parameters of a dial `by_rest`."""
    named = {
        "beep": attributes.beep or "false",  # Twilio beeps by default
        "jitter_buffer_size": attributes.jitter_buffer_size,
        "region": attributes.region,
        "max_participants": attributes.max_participants,
    }
    if attributes.record == "true":
        prefix = "conference_" if by_rest else ""
        # By REST, one field per event, as for every other list.
        events = list(RECORDING_EVENTS) if by_rest else " ".join(RECORDING_EVENTS)
        named |= {
            f"{prefix}record": "true" if by_rest else "record-from-start",
            f"{prefix}recording_status_callback": recording_url,
            f"{prefix}recording_status_callback_event": events,
            f"{prefix}recording_status_callback_method": "POST",
            f"{prefix}trim": attributes.trim,
        }
        if attributes.recording_configuration:  # it says how, so only it: Twilio warns of mixing both
            named |= {f"{prefix}trim": "", "recording_configuration_id": attributes.recording_configuration}
    return {name: value for name, value in named.items() if value}
