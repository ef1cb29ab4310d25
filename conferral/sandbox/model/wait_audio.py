"""Wait, hold, and announcement audio (Twilio docs: TwiML <Conference>)."""

from dataclasses import dataclass

from conferral.sandbox.model.messages import FetchPurpose
from conferral.sandbox.model.state import Conference, Participant, Source, WaitAudio
from conferral.sandbox.model.transaction import Transaction

AUDIO_FIELDS = {"wait": "wait_audio", "hold": "hold_audio", "announce": "announcement"}  #: By purpose and timer's name.
PAUSED = -1  #: Position in a document that will be requested again shortly.


@dataclass(frozen=True, slots=True)
class Channel:
    """What one participant hears meanwhile, or everyone as an announcement."""

    conference: Conference
    participant: Participant | None  #: None for an announcement to everyone.
    purpose: FetchPurpose

    @property
    def audio(self) -> WaitAudio | None:
        """The audio that plays; None without any."""
        found: WaitAudio | None = getattr(self.participant or self.conference, AUDIO_FIELDS[self.purpose], None)
        return found

    def replace_audio(self, audio: WaitAudio | None) -> None:
        """Replace the audio that plays; None removes it."""
        setattr(self.participant or self.conference, AUDIO_FIELDS[self.purpose], audio)

    @property
    def timer_owner(self) -> str:
        """SID of the owner of the audio's timer."""
        return self.participant.call_sid if self.participant is not None else self.conference.sid


def begin(transaction: Transaction, channel: Channel, url: str | None, method: str) -> None:
    """Start audio from a URL: None is Twilio's music, empty is silence."""
    transaction.stop_timer(channel.timer_owner, channel.purpose)
    if url:
        channel.replace_audio(WaitAudio("document", Source(url, method), requested_url=url))
        request_document(transaction, channel)
    else:
        channel.replace_audio(WaitAudio("music" if url is None else "silence"))


def request_document(transaction: Transaction, channel: Channel) -> None:
    """Request a document for the participant's call, or the first one's."""
    audio, conference = channel.audio, channel.conference
    if audio is None or audio.source is None:
        return
    audio.position = 0
    audio.generation = transaction.state.fetch_count + 1  # a late response to an older request is ignored
    audio.requested_at_s = transaction.now_s
    transaction.fetch(
        transaction.call((channel.participant or conference.joined()[0]).call_sid),
        audio.source,
        channel.purpose,
        (("ConferenceSid", conference.sid), ("FriendlyName", conference.name)),
        generation=audio.generation,
        conference_sid=conference.sid,
    )
