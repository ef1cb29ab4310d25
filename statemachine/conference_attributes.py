"""Conference attributes of a session, set for the called number."""

from conferral.statemachine.record import BaseRecord, Hidden


class ConferenceAttributes(BaseRecord, frozen=True):
    """Attributes fixed at the start; empty leaves the choice to the settings."""

    # Source: Twilio docs, TwiML `<Conference>` and `<Dial>`.
    #: `false`, `true` (the conference, from its start), or `customer` (the customer's call, in two channels).
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
    #: 2 to 250; 0 for Twilio's own limit.
    max_participants: int = 0
    #: Until the customer is removed; 0 for Twilio's own limit.
    time_limit_s: int = 0
    #: The customer can leave by pressing `*`.
    hangup_on_star: bool = False
    #: URL of the TwiML that the customer continues with when the others have left; empty to hang up.
    after_url: str = ""


DEFAULT_ATTRIBUTES = ConferenceAttributes()
