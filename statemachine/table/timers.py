"""Expired timers: what follows when something has not happened in time."""

from conferral.statemachine.events import (
    AgeOverdue,
    ConfirmOverdue,
    ConvertOverdue,
    DialOverdue,
    LeaveOverdue,
    LoneOverdue,
    OpeningOverdue,
    ParkOverdue,
    PendingCommandOverdue,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
)
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table import do, when
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, Row, S, T, V

# fmt: off
TIMERS: tuple[Row, ...] = (
    #   in    event                        when                             to                 do
    Row(B,    LeaveOverdue,                when.dial_has_ended,             E,                 do.end_by_child_reason),
    Row(B,    (RingOverdue, LeaveOverdue), None,                            STAY,              do.read_calls),
    Row(C|T,  LeaveOverdue,                None,                            STAY,              do.read_until_known),

    Row(V,    ConvertOverdue,              None,                            STAY,              do.read_missing_leg),

    # Twilio may be slow: while both are still bridged, they talk, and no one is hung up.
    Row(V,    RepairOverdue,               when.awaits_redirect,            STAY,              do.wait_for_redirect),
    Row(V,    RepairOverdue,               when.was_moved_recently,         STAY,              do.wait_for_redirect),
    Row(V,    RepairOverdue,               when.both_are_still_bridged,     B,                 do.give_up_conversion),
    Row(V,    RepairOverdue,               when.only_customer_joined,       S.MOVING_CUSTOMER, do.continue_without_agent),
    Row(V,    RepairOverdue,               None,                            E,                 do.end(EndReason.CONVERT_FAILED)),

    # Callbacks may be lost: a read comes before anyone is hung up.
    Row(C,    LoneOverdue,                 when.presence_is_uncertain,      STAY,              do.read_presence),
    Row(C,    LoneOverdue,                 when.has_after_url,              E,                 do.redirect_to_after_url),
    Row(C,    LoneOverdue,                 None,                            E,                 do.end_lone_party),

    Row(C,    OpeningOverdue,              None,                            STAY,              do.read_waiting_party),

    Row(B,    DialOverdue,                 when.dial_outcome_is_unknown,    STAY,              do.find_agent_call),
    Row(B,    DialOverdue,                 when.dial_was_read,              E,                 do.end(EndReason.AGENT_NO_ANSWER)),
    Row(C|T,  DialOverdue,                 None,                            STAY,              do.check_dials),
    Row(B,    DialOverdue,                 None,                            STAY,              do.read_agent_dial),

    Row(C|T,  ConfirmOverdue,              None,                            STAY,              do.read_participants),

    # Before that, the rows of `stages`.
    Row(T,    StageOverdue,                None,                            STAY,              do.read_at_stage_timeout),

    Row(C,    ParkOverdue,                 when.presence_is_uncertain,      STAY,              do.read_presence),
    Row(C,    ParkOverdue,                 when.park_timed_out_with_others, STAY,              do.unpark),
    Row(C,    ParkOverdue,                 when.park_timeout_ends_session,  E,                 do.end_park_timeout),
    Row(C,    ParkOverdue,                 None,                            S.DIALING,         do.recall_parked),

    Row(LIVE, PendingCommandOverdue,       None,                            STAY,              do.fail_overdue_commands),
    Row(LIVE, AgeOverdue,                  None,                            E,                 do.end(EndReason.TOO_OLD)),
)
# fmt: on
