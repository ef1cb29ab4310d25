"""TwiML documents that speak, play, ask for a key, or wait, but connect no one.

Source: Twilio docs, TwiML for Programmable Voice: `<Gather>`, `<Say>`, `<Play>`, `<Pause>`, `<Redirect>`, `<Hangup>`.
"""

import re
from typing import Self

from twilio.twiml.voice_response import Gather, VoiceResponse

from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.effects import Sentence
from conferral.telephony.callback_urls import CallbackUrls, DialAction, Gate, Wait
from conferral.telephony.parameters.conference import CONFERENCE_EVENTS, SPEAKER_EVENT
from conferral.telephony.phrases import SENTENCE_PHRASES, Phrase, recall_phrase, sentence_in

#: Characters that are invalid in XML even if escaped: one of them in an operator's text would make the document
#: unreadable. Source: W3C, XML 1.0, section 2.2.
_INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How long the gate waits for a key after its prompt, seconds.
_KEY_TIMEOUT_S = 4
#: Length of a silence before Twilio requests the wait document again, seconds.
_SILENCE_S = 10
#: Length of a pause before a document is requested again because Redis did not answer, seconds.
_RETRY_AFTER_S = 1


class PromptBuilder:
    """Builds prompts with callback URLs and phrases in the configured language."""

    def __init__(self, urls: CallbackUrls, *, language: str, voice: str | None, with_speaker_events: bool) -> None:
        self._urls = urls
        self._language = language
        self._voice = voice
        #: Events requested of every conference, however a leg joins it.
        self.conference_events = (*CONFERENCE_EVENTS, SPEAKER_EVENT) if with_speaker_events else CONFERENCE_EVENTS

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Return the builder that the settings describe."""
        return cls(
            CallbackUrls(settings.public_url),
            language=settings.language,
            voice=settings.voice,
            with_speaker_events=settings.speaker_events,
        )

    def gate_brief(self, gate: Gate, *, brief: str = "", recall_reason: str = "") -> str:
        """Play the briefing at the gate; only afterwards, a `<Redirect>` requests admission.

        Args:
            gate: The request that this answers; the `<Redirect>` makes the next one.
            brief: The operator's text; empty for none.
            recall_reason: Recalled agents only: the reason, such as `busy`; empty for all others.
        """
        response = VoiceResponse()
        self._brief(response, brief, recall_reason)
        response.redirect(self._urls.gate(gate.after_brief()), method="POST")
        return str(response)

    def ask_for_key(self, gate: Gate, *, brief: str = "", recall_reason: str = "") -> str:
        """Play the briefing at the gate and prompt for a key (DTMF), which voicemail does not press.

        The key may be pressed at any time. Every key counts, including `#`; without a key, the action is requested as
        well.

        Args:
            gate: The request that this answers; its `<Gather>` makes the next one.
            brief: The operator's text; empty for none.
            recall_reason: Recalled agents only: the reason, such as `busy`; empty for all others.
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

    def retry_gate(self, gate: Gate) -> str:
        """Pause, then request the same gate document again; `gate.request_number` is already incremented."""
        return _retry(self._urls.gate(gate))

    def wait(self, wait: Wait, *, audio_url: str | None) -> str:
        """Play audio to a waiting or held party, for `waitUrl` and HoldUrl.

        The audio plays once; then a `<Redirect>` requests the document again, because Twilio does not loop audio on
        hold. So the party hears different audio as soon as it changes.

        Args:
            wait: The request that this answers, with the audio to play.
            audio_url: URL of the audio; None for silence.

        Source: Twilio docs, Errors, 13238: only `<Say>`, `<Play>`, `<Pause>`, and `<Redirect>` are allowed here.
        """
        response = VoiceResponse()
        if audio_url is None:
            response.pause(length=_SILENCE_S)
        else:
            response.play(audio_url)
        response.redirect(self._urls.wait(wait), method="POST")
        return str(response)

    def greeting(self, wait: Wait, text: str) -> str:
        """Say the greeting to a party that joins a conference and waits; the wait audio follows.

        Args:
            wait: The request that this answers; its `<Redirect>` requests the wait audio.
            text: The greeting; empty for none.

        Source: Twilio docs, TwiML `<Conference>`, `waitUrl`.
        """
        response = VoiceResponse()
        if text:
            self._say(response, _INVALID_XML.sub(" ", text))
        response.redirect(self._urls.wait(wait.after_greeting()), method="POST")
        return str(response)

    def announcement(self, text: str) -> str:
        """Say an announcement to a conference or to one participant.

        Args:
            text: The operator's text; if empty, one second of silence, because Twilio rejects an empty document.

        Source: Twilio docs, Conference resource, `AnnounceUrl`: `<Play>`, `<Say>`, `<Pause>`, and `<Redirect>` only.
        """
        response = VoiceResponse()
        if text:
            self._say(response, _INVALID_XML.sub(" ", text))
        else:
            response.pause(length=1)
        return str(response)

    def redirect(self, url: str) -> str:
        """Continue the call with your app's TwiML, requested by POST, as in a REST redirect."""
        response = VoiceResponse()
        response.redirect(url, method="POST")
        return str(response)

    def say_and_hang_up(self, phrase: Phrase) -> str:
        """Say a phrase, then hang up."""
        response = VoiceResponse()
        self._say(response, sentence_in(phrase, self._language))
        response.hangup()
        return str(response)

    def say_and_hang_up_inline(self, sentence: str) -> str:
        """Return `say_and_hang_up` for the effect `SayAndHangUp`, short enough for a REST update.

        Args:
            sentence: A `statemachine.effects.Sentence`.

        Raises:
            ValueError: it is not one of them, which is a bug.
        """
        return self.say_and_hang_up(SENTENCE_PHRASES[Sentence(sentence)])

    def retry_dial_action(self, action: DialAction) -> str:
        """Pause, then request the same dial action again."""
        return _retry(self._urls.dial_action(action))

    def hang_up(self) -> str:
        """Hang up."""
        return _HANG_UP

    def _brief(self, verbs: VoiceResponse | Gather, brief: str, recall_reason: str) -> None:
        if recall_reason:
            self._say(verbs, sentence_in(recall_phrase(recall_reason), self._language))
        if brief:
            self._say(verbs, _INVALID_XML.sub(" ", brief))

    def _say(self, verbs: VoiceResponse | Gather, text: str) -> None:
        verbs.say(text, language=self._language, voice=self._voice)


def _retry(url: str) -> str:
    response = VoiceResponse()
    response.pause(length=_RETRY_AFTER_S)
    response.redirect(url, method="POST")
    return str(response)


def _hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


_HANG_UP = _hang_up()
