"""The times by which sessions are driven. They come from the settings; decisions only see these."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How long is waited for what, in milliseconds."""

    #: How long the agent may ring (`CONFERRAL_RING_TIMEOUT`).
    ring_timeout_ms: int = 30_000
    #: Beyond the ring time, before Twilio is asked: covers a late callback and Twilio's own buffer of 5 s.
    ring_slack_ms: int = 10_000
    #: How long one side of a bridge may be over before the other side is looked at.
    leave_check_ms: int = 2_000
    #: Between two looks when the first did not settle it.
    look_again_ms: int = 10_000
    #: How long one party of a conversion may wait for the other (`CONFERRAL_CONVERT_TIMEOUT`).
    convert_timeout_ms: int = 5_000
    #: How long a leg that was just moved is given to arrive before a look at Twilio counts as showing it missing.
    settle_ms: int = 2_000
    #: How long the repair of a conversion may take.
    repair_timeout_ms: int = 5_000
    #: How long one participant may be alone (`CONFERRAL_LONE_GRACE`).
    lone_grace_ms: int = 2_000
    #: The age at which a session is ended.
    age_max_ms: int = 86_400_000
