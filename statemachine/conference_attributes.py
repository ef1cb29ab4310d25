"""How a session's conference is set up: what the directory says of the number that was called."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConferenceAttributes:
    """Taken once, when the session begins. Empty values are left to the settings, or to Twilio.

    Source: Twilio docs, TwiML `<Conference>` and `<Dial>`, whose attributes these are.
    """

    #: `CONFERRAL_RECORD`, or what the directory says: `false`, `true` (the conference, from its start) or `customer`
    #: (the customer's call, in two channels).
    record: str = "false"
    #: `true`, `false`, `onEnter` or `onExit`; empty for `false`.
    beep: str = ""
    #: `jitterBufferSize`: `off`, `small`, `medium` or `large`.
    jitter_buffer_size: str = ""
    #: Twilio's region of the mixer, for instance `ie1`.
    region: str = ""
    #: Of the conference's recording: `trim-silence` or `do-not-trim`.
    trim: str = ""
    #: URL of what is heard by those who wait, in place of `CONFERRAL_MUSIC`.
    wait_url: str = ""
    #: What is said first to a caller who waits in a conference, in place of `CONFERRAL_GREETING`.
    greeting: str = field(default="", repr=False)
    #: How many may take part (count, 2 to 250); 0 for Twilio's own bound.
    max_participants: int = 0
    #: After how many seconds the customer is taken out of the conference; 0 for Twilio's own bound.
    time_limit_s: int = 0
    #: Whether the customer may leave the conference by pressing `*`.
    hangup_on_star: bool = False
    #: URL of TwiML with which the customer goes on when the others have left; empty to be hung up.
    after_url: str = ""


#: Of a number that no directory speaks of.
DEFAULT_ATTRIBUTES = ConferenceAttributes()
