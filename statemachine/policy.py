"""The times and choices by which sessions are driven. They come from the settings; decisions only see these."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How long is waited for what, in milliseconds, and what is done when a transfer fails."""

    #: How long the agent may ring (`CONFERRAL_RING_TIMEOUT`).
    ring_timeout_ms: int = 30_000
    #: Beyond the ring time, before Twilio is asked: covers a late callback and Twilio's own buffer of 5 s.
    ring_slack_ms: int = 10_000
    #: How long one side of a bridge may be over before the other side is looked at.
    leave_check_ms: int = 2_000
    #: Between two looks when the first did not settle it.
    reread_interval_ms: int = 10_000
    #: How long one party of a conversion may wait for the other (`CONFERRAL_CONVERT_TIMEOUT`).
    convert_timeout_ms: int = 5_000
    #: How long a leg that was just moved is given to arrive before a look at Twilio counts as showing it missing.
    settle_ms: int = 2_000
    #: How long the repair of a conversion may take.
    repair_timeout_ms: int = 5_000
    #: How long one participant may be alone (`CONFERRAL_LONE_GRACE`).
    lone_grace_ms: int = 2_000
    #: How long a callback about a hold or a flag may take before Twilio is asked.
    confirm_ms: int = 1_000
    #: Between two such looks.
    confirm_interval_ms: int = 2_000
    #: How long a hold or a flag that a transfer needs may take before the transfer has failed.
    hold_timeout_ms: int = 3_000
    #: How long the hold of a blind transfer may take before it goes on without.
    ringback_timeout_ms: int = 2_000
    #: How long the customer of a blind transfer may take from the bridge into the room before Twilio is asked.
    arrive_timeout_ms: int = 5_000
    #: How long a look may be without an answer before it counts as lost.
    read_timeout_ms: int = 30_000
    #: How long the agent's own leaving is waited for before he is hung up, or before Twilio is asked.
    leave_timeout_ms: int = 2_000
    #: How long a callback is waited for that tells whether a dial of unknown outcome was placed.
    dial_unknown_wait_ms: int = 5_000
    #: Beyond ring time and Twilio's own queue, before a dialled call is looked at.
    dial_slack_ms: int = 10_000
    #: How long somebody who was answered may stand at our gate.
    gate_timeout_ms: int = 60_000
    #: Between a look at an overdue dial and its end.
    dial_read_wait_ms: int = 3_000
    #: Between two rings of an agent who is rung again.
    recall_pause_ms: int = 10_000
    #: How often the agent is rung again (count).
    recalls_max: int = 2
    #: What follows a blind transfer that failed (`CONFERRAL_TRANSFER_FALLBACK`): `recall`, `end`, or a destination.
    fallback: str = "recall"
    #: Whether those who are dialled in an inbound session see the caller's number (`CONFERRAL_TRANSFER_CALLER_ID`).
    shows_customer_number: bool = False
    #: Whether every phone number dialled by REST must press 1 (`CONFERRAL_CONFIRM`).
    confirm_phones: bool = False
    #: How long a call may stay parked (`CONFERRAL_PARK_TIMEOUT`).
    park_timeout_ms: int = 300_000
    #: How long an announcement may take, fetched and played.
    announce_timeout_ms: int = 60_000
    #: How long Twilio may take to confirm what a command asked for.
    command_timeout_ms: int = 10_000
    #: How the conference of a session is recorded that an operator's command opens (`CONFERRAL_RECORD`).
    record: str = "false"
    #: The age at which a session is ended.
    age_max_ms: int = 86_400_000
