"""Every TwiML document that we answer or send, made with Twilio's builder, which also does the escaping.

Source: Twilio docs, TwiML for Programmable Voice: `<Dial>`, `<Number>`, `<Client>`, `<Sip>`, `<Conference>`,
`<Gather>`, `<Say>`, `<Play>`, `<Pause>`, `<Redirect>`, `<Hangup>`.
"""

import re
from typing import Any

from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.effects import Sentence
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.telephony.addresses import Address, AddressKind, is_caller_id
from conferral.telephony.callback_urls import (
    CallbackUrls,
    CallCallback,
    ConferenceCallback,
    DialAction,
    DialKind,
    Gate,
    RecordingCallback,
    Wait,
    wait_audio_named,
)
from conferral.telephony.parameters.conference import CONFERENCE_EVENTS, SPEAKER_EVENT, conference_attributes
from conferral.telephony.phrases import SENTENCE_PHRASES, Phrase, recall_phrase, sentence_in

#: Longest TwiML that a REST update takes inline. Source: Twilio docs, Call resource, `Twiml`.
INLINE_LENGTH_MAX = 4000

#: Longest id or label, and longest name of a conference (characters).
_ID_LENGTH_MAX, _ROOM_LENGTH_MAX = 64, 128

#: What we want to hear of every call. Source: Twilio docs, Call resource, `StatusCallbackEvent`.
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")

#: Characters that no XML document may hold, not even escaped: one of them in somebody's words would make the whole
#: document unreadable. Source: W3C, XML 1.0, section 2.2.
_INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How long the gate waits for a key once it has asked, seconds.
_KEY_TIMEOUT_S = 5
#: How long somebody who waits in silence does so until we are asked again what to play, seconds.
_SILENCE_S = 10


class TwimlBuilder:
    """Makes documents whose URLs lie under the public one and whose sentences are in the language of the settings."""

    def __init__(
        self, urls: CallbackUrls, *, language: str, voice: str | None, with_speaker_events: bool = False
    ) -> None:
        """Settles what all documents share.

        Args:
            urls: Builds the callback URLs.
            language: Of every sentence, as `CONFERRAL_LANGUAGE`.
            voice: Of every sentence, as `CONFERRAL_VOICE`; None for Twilio's own.
            with_speaker_events: Whether conferences tell who speaks, as `CONFERRAL_SPEAKER_EVENTS`.
        """
        self._urls = urls
        self._language = language
        self._voice = voice
        #: What is asked for of every conference, however a leg comes into it.
        self.conference_events = (*CONFERENCE_EVENTS, SPEAKER_EVENT) if with_speaker_events else CONFERENCE_EVENTS

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
        """An inbound caller is connected to the agent by an ordinary `<Dial>`.

        The caller hears real ringing and is not billed for it, since the call is answered when the agent answers. The
        action has to be there from the start: without one, a bridged call can't be moved without losing the caller.

        Args:
            session_id: The session's id, which is the caller's CallSid.
            agent: Whom to ring.
            caller: The caller as Twilio names it; shown to the agent where it is a number.
            own_number: Shown in its place otherwise, E.164.
            ring_timeout_s: Seconds that the agent may ring.
            agent_number: Which of the agents to be tried it is, from 0: action and callbacks tell it.
            own_number_from: From which of them on our own number is shown whatever the caller's is; 0 for none.
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
        self._ring(dial, agent, CallCallback(session_id, AGENT, agent_number=agent_number))
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
        """The agent of a `call`, whom the gate has let in, is connected to the customer by an ordinary `<Dial>`.

        The agent hears real ringing; his own call is answered already.

        Args:
            session_id: The session's id.
            customer: Whom to ring: an address that was held against the allow-list.
            own_number: Shown to the customer, E.164.
            ring_timeout_s: Seconds that the customer may ring.
            brief: Said to the agent first; empty for nothing.
            conference_name: The name of the session's conference; empty if it is the session's id.
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
        self._ring(dial, customer, CallCallback(session_id, CUSTOMER))
        return str(response)

    def join_conference(
        self,
        session_id: str,
        party: str,
        *,
        label: str,
        conference: str,
        conference_name: str = "",
        attempt: int = 1,
        start_on_enter: bool | None = None,
        wait_audio: str = "",
        default_music: bool = False,
        with_greeting: bool = False,
        opens_session: bool = False,
        supervises: bool = False,
        attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES,
    ) -> str:
        """A leg joins the session's conference; also sent inline in a REST redirect.

        No beep unless the session's attributes ask for one. Nobody's leaving ends the room: flags for that are set
        later, by updates. Every join names the same callbacks, since only the first participant's count.

        Args:
            session_id: The session's id.
            party: The party whose leg it is.
            label: Its participant label.
            conference: The conference's SID if known, so that a late leg can't open a second one; else its name.
            conference_name: Its name; empty if it is the session's id.
            attempt: Which try of this leg to join it is, from 1 to 9.
            start_on_enter: Whether the conference starts with this leg. If not, the leg waits until another starts it.
                By default a leg that hears a tune does not, and every other one does.
            wait_audio: What the leg hears while it is alone, `ringback` or `music`. Empty for silence.
            default_music: Whether it hears Twilio's own music instead.
            with_greeting: Whether the greeting is said before the tune.
            opens_session: Whether it is the caller who waits for the first agent.
            supervises: Whether it comes in muted, and never starts the conference.
            attributes: Of the session.
        """
        response = VoiceResponse()
        action = DialAction(session_id, party, DialKind.CONFERENCE, attempt, conference_name=conference_name)
        self._join(
            response, action, label, conference, start_on_enter=start_on_enter, wait_audio=wait_audio,
            default_music=default_music, with_greeting=with_greeting,
            opens_session=opens_session, supervises=supervises, attributes=attributes,
        )  # fmt: skip
        return str(response)

    def brief_and_join(
        self,
        session_id: str,
        party: str,
        *,
        label: str,
        conference: str,
        conference_name: str = "",
        brief: str = "",
        recall_reason: str = "",
        start_on_enter: bool | None = None,
        wait_audio: str = "",
        supervises: bool = False,
        attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES,
    ) -> str:
        """Somebody whom the gate lets in is told what it is about and joins the session's conference.

        Args:
            session_id: The session's id.
            party: The party whose leg it is.
            label: Its participant label.
            conference: The conference's SID, so that a late leg can't open a second one; its name if none has opened.
            conference_name: Its name; empty if it is the session's id.
            brief: The operator's words; empty for nothing, and once they were said.
            recall_reason: Why an agent is rung again, such as `busy`; empty for everybody else, and once it was said.
            start_on_enter: As of `join_conference`; likewise the rest.
            wait_audio: What the leg hears while it is alone.
            supervises: Whether it comes in muted, and never starts the conference.
            attributes: Of the session.
        """
        response = VoiceResponse()
        self._brief(response, brief, recall_reason)
        action = DialAction(session_id, party, DialKind.CONFERENCE, conference_name=conference_name)
        self._join(
            response,
            action,
            label,
            conference,
            start_on_enter=start_on_enter,
            wait_audio=wait_audio,
            supervises=supervises,
            attributes=attributes,
        )
        return str(response)

    def gate_brief(self, gate: Gate, *, brief: str = "", recall_reason: str = "") -> str:
        """Somebody at the gate is told what it is about; only then the gate is asked for the way in.

        Args:
            gate: The request that this answers; its `<Redirect>` asks the next one.
            brief: The operator's words; empty for nothing.
            recall_reason: Why an agent is rung again, such as `busy`; empty for everybody else.
        """
        response = VoiceResponse()
        self._brief(response, brief, recall_reason)
        response.redirect(self._urls.gate(gate.after_brief()), method="POST")
        return str(response)

    def ask_for_key(self, gate: Gate, *, brief: str = "", recall_reason: str = "") -> str:
        """Somebody at the gate is told what it is about, and asked for a key.

        The key may be pressed at any word. Every key counts, `#` too; without any the next question is asked as well.

        Args:
            gate: The request that this answers; its `<Gather>` asks the next one.
            brief: The operator's words; empty for nothing.
            recall_reason: Why an agent is rung again, such as `busy`; empty for everybody else.
        """
        response = VoiceResponse()
        gather = response.gather(
            action=self._urls.gate(gate.next_question()),
            method="POST",
            num_digits=1,
            timeout=_KEY_TIMEOUT_S,
            finish_on_key="",
            action_on_empty_result=True,
        )
        self._brief(gather, brief, recall_reason)
        self._say(gather, sentence_in(Phrase.PRESS_ONE, self._language))
        return str(response)

    def retry_gate(self, gate: Gate, *, wait_s: int = 1) -> str:
        """Silence for some seconds, then the same request for a gate is put once more.

        Args:
            gate: What the URL shall say, `waited` counted up already.
            wait_s: Seconds of silence.
        """
        response = VoiceResponse()
        response.pause(length=wait_s)
        response.redirect(self._urls.gate(gate), method="POST")
        return str(response)

    def wait(self, wait: Wait, *, audio_url: str | None) -> str:
        """What somebody who waits or is held hears, for `waitUrl` and HoldUrl.

        It is played once and then asked for again, by a `<Redirect>` of its own, since audio on hold is not repeated by
        itself; so who waits hears another tune as soon as there is another one to hear.

        Args:
            wait: The request that this answers, with the tune that is played.
            audio_url: The audio; None for silence.

        Source: Twilio docs, Errors, 13238: only `<Say>`, `<Play>`, `<Pause>` and `<Redirect>` are allowed here.
        """
        response = VoiceResponse()
        if audio_url is None:
            response.pause(length=_SILENCE_S)
        else:
            response.play(audio_url)
        response.redirect(self._urls.wait(wait), method="POST")
        return str(response)

    def greeting(self, wait: Wait, text: str) -> str:
        """What somebody hears first who comes into a conference and waits: the greeting, then the tune.

        Args:
            wait: The request that this answers; its `<Redirect>` asks for the tune.
            text: The greeting; empty for none.

        Source: Twilio docs, TwiML `<Conference>`, `waitUrl`.
        """
        response = VoiceResponse()
        if text:
            self._say(response, _INVALID_XML.sub(" ", text))
        response.redirect(self._urls.wait(wait.after_greeting()), method="POST")
        return str(response)

    def announcement(self, text: str) -> str:
        """What is announced to a conference, or to one of those in it.

        Args:
            text: The operator's words; for none a second of silence, since an empty document is no announcement.

        Source: Twilio docs, Conference resource, `AnnounceUrl`: `<Play>`, `<Say>`, `<Pause>` and `<Redirect>` only.
        """
        response = VoiceResponse()
        if text:
            self._say(response, _INVALID_XML.sub(" ", text))
        else:
            response.pause(length=1)
        return str(response)

    def redirect(self, url: str) -> str:
        """The call goes on with TwiML of somebody else's.

        Args:
            url: Where it is; asked by POST, as a redirect by REST would.
        """
        response = VoiceResponse()
        response.redirect(url, method="POST")
        return str(response)

    def say_and_hang_up(self, phrase: Phrase) -> str:
        """A sentence, then the end of the call."""
        response = VoiceResponse()
        self._say(response, sentence_in(phrase, self._language))
        response.hangup()
        return str(response)

    def longest_inline_join(self, attributes: ConferenceAttributes) -> str:
        """The longest TwiML that is ever sent inline for a session with these attributes: a join."""
        longest, conference = "x" * _ID_LENGTH_MAX, "x" * _ROOM_LENGTH_MAX
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

    def say_and_hang_up_inline(self, sentence: str) -> str:
        """The same for the effect `SayAndHangUp`, short enough for a REST update.

        Args:
            sentence: One of `statemachine.effects.Sentence`.

        Raises:
            ValueError: it is none of them, a fault of ours.
        """
        return self.say_and_hang_up(SENTENCE_PHRASES[Sentence(sentence)])

    def retry_dial_action(self, action: DialAction, *, wait_s: int = 1) -> str:
        """Silence for some seconds, then the same dial action is asked once more."""
        response = VoiceResponse()
        response.pause(length=wait_s)
        response.redirect(self._urls.dial_action(action), method="POST")
        return str(response)

    def hang_up(self) -> str:
        """The end of the call."""
        return _HANG_UP

    # ---- parts of documents ---------------------------------------------------------------------------------------

    def _ring(self, dial: Dial, address: Address, callback: CallCallback) -> None:
        _NOUNS[address.kind](
            dial,
            address.noun,
            status_callback=self._urls.call(callback),
            status_callback_event=" ".join(CALL_EVENTS),
            status_callback_method="POST",
        )

    def _join(
        self,
        response: VoiceResponse,
        action: DialAction,
        label: str,
        conference: str,
        *,
        start_on_enter: bool | None,
        wait_audio: str,
        default_music: bool = False,
        with_greeting: bool = False,
        opens_session: bool = False,
        supervises: bool,
        attributes: ConferenceAttributes,
    ) -> None:
        session_id, party = action.session_id, action.party
        wait_attributes = {} if default_music else {"wait_url": ""}
        if wait_audio:
            wait = Wait(session_id, party, wait_audio_named(wait_audio), with_greeting, opens_session)
            wait_attributes = {"wait_url": self._urls.wait(wait), "wait_method": "POST"}
        dial = response.dial(action=self._urls.dial_action(action), method="POST", **_time_limits(party, attributes))
        dial.conference(
            conference,
            participant_label=label,
            start_conference_on_enter=(not wait_audio if start_on_enter is None else start_on_enter) and not supervises,
            end_conference_on_exit=False,
            **({"muted": True} if supervises else {}),
            **wait_attributes,
            **conference_attributes(attributes, recording_url=self._urls.recording(RecordingCallback(session_id))),
            status_callback=self._urls.conference(ConferenceCallback(session_id)),
            status_callback_event=" ".join(self.conference_events),
            status_callback_method="POST",
        )

    def _brief(self, verbs: VoiceResponse | Gather, brief: str, recall_reason: str) -> None:
        if recall_reason:
            self._say(verbs, sentence_in(recall_phrase(recall_reason), self._language))
        if brief:
            self._say(verbs, _INVALID_XML.sub(" ", brief))

    def _say(self, verbs: VoiceResponse | Gather, text: str) -> None:
        verbs.say(text, language=self._language, voice=self._voice)


def _time_limits(party: str, attributes: ConferenceAttributes) -> dict[str, Any]:
    """What bounds the customer's time in the conference; of nobody else's `<Dial>`."""
    if party != CUSTOMER:
        return {}
    limit = {"time_limit": attributes.time_limit_s} if attributes.time_limit_s else {}
    return limit | ({"hangup_on_star": True} if attributes.hangup_on_star else {})


def _hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


_HANG_UP = _hang_up()
_NOUNS = {AddressKind.NUMBER: Dial.number, AddressKind.CLIENT: Dial.client, AddressKind.SIP: Dial.sip}
