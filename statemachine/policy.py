"""Timeouts and choices that drive sessions, taken from the settings."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policy:
    """Timeouts in milliseconds, and what to do when a transfer fails."""

    #: The defaults of settings with the same names are in `runtime.settings`.
    ring_timeout_ms: int = 30_000
    #: Slack after the ring timeout before Twilio is read: covers a late callback, and Twilio's own buffer or queue.
    ring_slack_ms: int = 10_000
    #: The longest such pause.
    reread_interval_ms: int = 10_000
    #: How long one party of a conversion may wait for the other (`CONFERRAL_CONVERT_TIMEOUT`).
    convert_timeout_ms: int = 5_000
    #: How long a moved leg may take to arrive before a read counts as showing it missing, or a call to be listed.
    settle_ms: int = 2_000
    repair_timeout_ms: int = 5_000
    lone_grace_ms: int = 2_000
    #: How long a callback may take before Twilio is read: of an update, or of the join of one for whom another is held.
    confirm_ms: int = 1_000
    #: The shortest pause between two reads of a thing that the first did not settle.
    read_pause_ms: int = 2_000
    #: How long an update that a transfer needs may take before it fails, or a blind one goes on without its hold.
    hold_timeout_ms: int = 3_000
    #: For how long after a request with `Hold=false` that has no answer nothing private begins, and the party is read.
    late_unhold_ms: int = 10_000
    late_unhold_read_ms: int = 60_000
    #: How long a party may take into the conference before Twilio is read, or a dial of unknown result to show.
    arrive_timeout_ms: int = 5_000
    #: How long a read may go unanswered before it counts as lost.
    read_timeout_ms: int = 30_000
    #: As above, after a loss of Redis, for a read that no one waits for: those of all live sessions come first.
    background_read_timeout_ms: int = 600_000
    #: How long a party's end may take, after the other side's or a hangup, before Twilio is read.
    leave_timeout_ms: int = 2_000
    #: How long a call that was answered may stay in the gate.
    gate_timeout_ms: int = 60_000
    #: After how long a call in the gate is read, in case its end was not reported; then every `reread_interval_ms`.
    gate_read_ms: int = 5_000
    #: After how long a dial that no one has answered is read, in case its failure was not reported.
    ring_read_ms: int = 6_000
    #: Delay between the read of an overdue dial and giving it up.
    dial_read_wait_ms: int = 3_000
    recall_pause_ms: int = 4_000
    recalls_max: int = 2
    #: After an outage of Redis, how long legs that it forgot may take to show: no one counts as alone or lost before.
    legs_show_ms: int = 10_000
    #: After a loss, how long the customer's own hang-up may take to show, and how long the agent is rung again.
    loss_settle_ms: int = 200
    loss_ring_ms: int = 20_000
    #: Where the customer goes after a failed blind transfer or a park that timed out (`CONFERRAL_TRANSFER_FALLBACK`),
    #: tried in order: `recall` (the agent), an address, `voicemail`, a URL, or `end`.
    fallback: tuple[str, ...] = ("recall",)
    #: Whether parties dialed in an inbound session see the caller's number (`CONFERRAL_TRANSFER_CALLER_ID`).
    shows_customer_number: bool = False
    #: Whether every phone number dialed by REST must press 1 (`CONFERRAL_CONFIRM`).
    confirm_phones: bool = False
    park_timeout_ms: int = 300_000
    #: How long the greeting and the longest message take (`CONFERRAL_VOICEMAIL_LIMIT`), with some slack.
    voicemail_timeout_ms: int = 180_000
    #: How long a party may be on hold, and so a consult may last; 0 for no limit (`CONFERRAL_HOLD_LIMIT`). The longest
    #: of any session: a takeover fires longer timers early.
    hold_limit_ms: int = 1_800_000
    #: How long Twilio may take to confirm a command, instead of its class's `pending_s`; 0 for that.
    command_timeout_ms: int = 0
    #: How to record a session that a command opens (`CONFERRAL_RECORD`).
    record: str = "false"
    age_max_ms: int = 86_400_000
    #: The caller ID of calls that Conferral places on its own (`TWILIO_NUMBER`), E.164.
    own_number: str = field(default="", repr=False)
