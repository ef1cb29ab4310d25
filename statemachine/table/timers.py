"""Expired timers: what follows when something has not happened in time."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, Row, S, T, V

# fmt: off
TIMERS: tuple[Row, ...] = (
    #   in    event                              when                             to                 do
    # Otherwise, the action's answer has ended the parent's call, or another app has moved it.
    Row(B,    on.LeaveOverdue,                   when.dial_reached_no_one,        E,                 do.end_by_child_reason),
    Row(B,    (on.RingOverdue, on.LeaveOverdue), None,                            STAY,              do.read_calls),
    Row(C|T,  on.LeaveOverdue,                   None,                            STAY,              do.read_until_known),
    Row(V,    on.ConvertOverdue,                 None,                            STAY,              do.read_missing_leg),

    # Twilio may be slow: while both are still bridged, they talk, and no one is hung up.
    Row(V,    on.RepairOverdue,                  when.awaits_redirect,            STAY,              do.wait_for_redirect),
    Row(V,    on.RepairOverdue,                  when.both_are_still_bridged,     B,                 do.give_up_conversion),
    # They may talk in the conference although no callback says so: only a read ends it.
    Row(V,    on.RepairOverdue,                  None,                            STAY,              do.read_after_repair),

    # Callbacks may be lost: a read comes before anyone is hung up.
    Row(C,    (on.LoneOverdue, on.ParkOverdue),  when.presence_is_uncertain,      STAY,              do.read_presence),
    Row(C,    on.LoneOverdue,                    when.has_after_url,              E,                 do.redirect_to_after_url),
    Row(C,    on.LoneOverdue,                    None,                            E,                 do.end_lone_party),
    Row(C,    on.OpeningOverdue,                 None,                            STAY,              do.read_waiting_party),
    Row(B,    on.DialOverdue,                    when.dial_outcome_is_unknown,    STAY,              do.find_agent_call),
    Row(B,    on.DialOverdue,                    when.dial_was_read,              E,                 do.end(EndReason.AGENT_NO_ANSWER)),
    Row(C|T,  on.DialOverdue,                    None,                            STAY,              do.check_dials),
    Row(B,    on.DialOverdue,                    None,                            STAY,              do.read_agent_dial),
    Row(C|T,  on.ConfirmOverdue,                 None,                            STAY,              do.read_participants),

    # Before that, the rows of `stages`.
    Row(T,    on.StageOverdue,                   None,                            STAY,              do.read_at_stage_timeout),

    Row(C,    on.ParkOverdue,                    when.park_timed_out_with_others, STAY,              do.unpark),
    Row(C,    on.ParkOverdue,                    when.park_timeout_ends_session,  E,                 do.end_park_timeout),
    Row(C,    on.ParkOverdue,                    None,                            S.DIALING,         do.recall_parked),

    Row(LIVE, on.PendingCommandOverdue,          None,                            STAY,              do.fail_overdue_commands),
    # Twilio ends each call after at most 24 h; parties who came later may still talk.
    Row(LIVE, on.AgeOverdue,                     None,                            STAY,              do.read_at_age_limit),
)
# fmt: on
