"""Expired timers: what follows when something has not happened in time."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.table.row import *
from conferral.statemachine.table.stages import TIMEOUTS

#: Timers that end a session by who is present.
PRESENCE_TIMERS = (on.LoneOverdue, on.ParkOverdue)
OF_PRESENCE = (*PRESENCE_TIMERS, on.OpeningOverdue)
OF_CONVERSION = (on.ConvertOverdue, on.RepairOverdue)
OF_CONFERENCE = (
    *PRESENCE_TIMERS,
    on.ConfirmOverdue,
    on.StageOverdue,
    on.OpeningOverdue,
    on.HoldOverdue,
    on.HoldNoticeOverdue,
)

# fmt: off
TIMERS: tuple[Row, ...] = (
    #   in                  phase event                              when                         to              do
    # Calls: CallsOverdue, DialOverdue
    # Otherwise, the action's answer has ended the parent's call, or another app has moved it.
    Row(B,                  ANY,  on.CallsOverdue,                   when.dial_reached_no_one,    E,              do.end_bridge),
    Row(B,                  ANY,  on.CallsOverdue,                   None,                        STAY,           do.read_calls),
    Row(C|T,                ANY,  on.CallsOverdue,                   None,                        STAY,           do.read_until_known),
    Row(B|C|T,              ANY,  on.DialOverdue,                    None,                        STAY,           do.check_dials),

    # The conversion: ConvertOverdue, RepairOverdue
    Row(V,                  ANY,  on.ConvertOverdue,                 None,                        STAY,           do.read_missing_leg),
    # Twilio may be slow: while both are still bridged, they talk, and no one is disconnected.
    Row(V,                  ANY,  on.RepairOverdue,                  when.awaits_redirect,        STAY,           do.wait_for_move),
    Row(V,                  ANY,  on.RepairOverdue,                  when.both_are_still_bridged, B,              do.return_to_bridge),
    # They may talk in the conference although no callback says so: only a read ends it.
    Row(V,                  ANY,  on.RepairOverdue,                  None,                        STAY,           (do.count_presence_read, do.read_every("repair_timeout_ms"))),

    # The conference: LoneOverdue, OpeningOverdue, ConfirmOverdue. A read comes before anyone is disconnected: callbacks get lost.
    Row(C,                  ANY,  PRESENCE_TIMERS,                   when.presence_is_uncertain,  STAY,           do.read_every("confirm_interval_ms")),
    Row(C,                  ANY,  on.LoneOverdue,                    when.has_after_url,          E,              do.redirect_to_after_url),
    Row(C,                  ANY,  on.LoneOverdue,                    None,                        E,              do.end_lone_party),
    Row(C,                  ANY,  on.OpeningOverdue,                 None,                        STAY,           do.read_waiting_party),
    Row(C|T,                ANY,  on.ConfirmOverdue,                 None,                        STAY,           do.read_participants),

    # A parked call: ParkOverdue
    Row(C,                  ANY,  on.ParkOverdue,                    None,                        S.FALLING_BACK, do.begin_park_fallback),

    # A hold, also in a consult: HoldOverdue, HoldNoticeOverdue
    Row(T,                  ANY,  on.HoldOverdue,                    when.overdue_holds,          S.CANCELLING,   do.fail_at_hold_limit),
    Row(C|T,                ANY,  on.HoldOverdue,                    None,                        STAY,           do.end_overdue_holds),
    Row(C|T,                ANY,  on.HoldNoticeOverdue,              None,                        STAY,           do.log_only),

    # A transfer: StageOverdue, with the limits of `stages`
    # An agent who has left, or is leaving, does not hear the customer who is off hold.
    Row(S.HOLDING_CUSTOMER, PARK, on.StageOverdue,                   when.agent_is_leaving,       S.PARKING,      do.let_agent_leave),
    *TIMEOUTS,
    Row(T,                  ANY,  on.StageOverdue,                   None,                        STAY,           do.read_at_stage_timeout),

    # Commands other than transfers and their steps, and the session itself
    Row(LIVE,               ANY,  on.PendingCommandOverdue,          None,                        STAY,           do.fail_overdue_commands),
    # Twilio ends each call after at most 24 h; parties who came later may still talk.
    Row(LIVE,               ANY,  on.AgeOverdue,                     None,                        STAY,           do.read_every("read_timeout_ms")),

    # Timers that no state of this kind has set, or that were canceled on the way to it
    Row(B|V,                ANY,  OF_CONFERENCE,                     None,                        STAY,           do.ignore_late),
    Row(B|C|T,              ANY,  OF_CONVERSION,                     None,                        STAY,           do.ignore_late),
    Row(V,                  ANY,  (on.CallsOverdue, on.DialOverdue), None,                        STAY,           do.ignore_late),
    Row(C,                  ANY,  on.StageOverdue,                   None,                        STAY,           do.ignore_late),
    Row(T,                  ANY,  OF_PRESENCE,                       None,                        STAY,           do.ignore_late),
    Row(E,                  ANY,  on.TIMERS,                         None,                        STAY,           do.ignore_late),
)
# fmt: on
