"""Conference attributes of a session: what the directory sets for the called number."""

from conferral.statemachine.record import BaseRecord, Hidden


class ConferenceAttributes(BaseRecord, frozen=True):
    """Attributes fixed when the session begins. Empty values leave the choice to the settings, or to Twilio.

    Source: Twilio docs, TwiML `<Conference>` and `<Dial>`, whose attributes these are.
    """

    #: `CONFERRAL_RECORD`, or the directory's value: `false`, `true` (the conference, from its start), or `customer`
    #: (the customer's call, in two channels).
    record: str = "false"
    #: `true`, `false`, `onEnter` or `onExit`; empty for `false`.
    beep: str = ""
    #: `jitterBufferSize`: `off`, `small`, `medium`, or `large`.
    jitter_buffer_size: str = ""
    #: Twilio's region of the mixer, such as `ie1`.
    region: str = ""
    #: Conference recordings only: `trim-silence` or `do-not-trim`.
    trim: str = ""
    #: URL of the wait audio, instead of `CONFERRAL_MUSIC`.
    wait_url: str = ""
    #: What a caller who waits in a conference hears first, instead of `CONFERRAL_GREETING`.
    greeting: Hidden[str] = ""
    #: Most participants (count, 2 to 250); 0 for Twilio's own limit.
    max_participants: int = 0
    #: Seconds after which the customer is removed from the conference; 0 for Twilio's own limit.
    time_limit_s: int = 0
    #: Whether the customer can leave the conference by pressing `*`.
    hangup_on_star: bool = False
    #: URL of the TwiML that the customer continues with when the others have left; empty to hang up.
    after_url: str = ""


#: Attributes of a number that is not in the directory.
DEFAULT_ATTRIBUTES = ConferenceAttributes()
