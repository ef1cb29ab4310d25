"""Reads: what a read of Twilio, a sweep, or a lost conference shows."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import ANY, LIVE, STAY, B, C, E, Row, S, T, V

# fmt: off
READS: tuple[Row, ...] = (
    #   in    phase    event               when                                    to                 do
    # CallsRead, of every live session
    Row(LIVE, ANY,     on.CallsRead,       when.shows_no_one_at_age_limit,         E,                 do.end(EndReason.TOO_OLD)),

    # CallsRead, while bridged
    Row(B,    ANY,     on.CallsRead,       when.is_outdated,                       STAY,              do.read_later),
    # A rollback of Redis lost the conversion.
    Row(B,    ANY,     on.CallsRead,       when.shows_conversion_done,             C,                 do.finish_conversion_by_read),
    Row(B,    ANY,     on.CallsRead,       when.shows_bridge_over,                 E,                 do.end_by_read),
    Row(B,    ANY,     on.CallsRead,       when.shows_visitor_elsewhere,           E,                 do.end_visitor_elsewhere),
    Row(B,    ANY,     on.CallsRead,       when.shows_next_agent,                  STAY,              do.follow_agent_in_read),
    Row(B,    ANY,     on.CallsRead,       when.awaits_next_agent,                 STAY,              do.read_later),
    Row(B,    ANY,     on.CallsRead,       when.shows_parent_moved,                E,                 do.end_moved),
    Row(B,    ANY,     on.CallsRead,       None,                                   STAY,              do.note_bridge_read),

    # CallsRead, while converting
    Row(V,    ANY,     on.CallsRead,       when.is_outdated,                       STAY,              do.read_calls),
    Row(V,    ANY,     on.CallsRead,       when.shows_conversion_done,             C,                 do.finish_conversion_by_read),
    Row(V,    ANY,     on.CallsRead,       when.shows_agent_left_early,            STAY,              do.note_agent_gone_by_read),
    Row(V,    ANY,     on.CallsRead,       when.shows_parent_moved,                E,                 do.end_moved),
    Row(V,    ANY,     on.CallsRead,       when.shows_child_ended_alone,           STAY,              do.note_bridge_read),
    Row(V,    ANY,     on.CallsRead,       when.shows_bridge_over,                 E,                 do.end_by_read),
    Row(V,    ANY,     on.CallsRead,       when.leg_may_be_moving,                 STAY,              do.extend_convert_timer),
    Row(V,    ANY,     on.CallsRead,       when.leg_to_repair,                     STAY,              do.redirect_missing_leg),
    Row(V,    ANY,     on.CallsRead,       when.shows_only_customer_joined,        S.MOVING_CUSTOMER, (do.apply_presence, do.continue_without_agent)),
    Row(V,    ANY,     on.CallsRead,       when.shows_leg_still_missing,           E,                 do.end(EndReason.CONVERT_FAILED)),
    Row(V,    ANY,     on.CallsRead,       None,                                   STAY,              do.log_only),

    # CallsRead, while conferenced or transferring
    Row(C|T,  ANY,     on.CallsRead,       when.is_outdated,                       STAY,              do.note_outdated_read),
    Row(C,    ANY,     on.CallsRead,       when.shows_visitor_elsewhere,           E,                 do.end_visitor_elsewhere),
    Row(T,    ANY,     on.CallsRead,       when.shows_customer_still_bridged,      B,                 do.return_to_bridge_unmoved),
    Row(C|T,  ANY,     on.CallsRead,       when.shows_waiting_party_still_missing, E,                 do.end(EndReason.CONVERT_FAILED)),
    Row(C|T,  ANY,     on.CallsRead,       when.shows_waiting_party_missing,       STAY,              do.redirect_waiting_party),
    Row(C,    ANY,     on.CallsRead,       when.shows_waiting_conference_over,     STAY,              (do.await_rejoin, do.apply_settled_read)),
    Row(C,    ANY,     on.CallsRead,       when.shows_conference_over,             E,                 do.end_conference_over),
    Row(C,    ANY,     on.CallsRead,       None,                                   STAY,              do.apply_settled_read),
    Row(T,    ANY,     on.CallsRead,       None,                                   STAY,              do.apply_read),

    # CallsRead, after the end: a live call may be in another app's hands, or alone in the session's conference
    Row(E,    ANY,     on.CallsRead,       when.shows_leg_left_alone,              STAY,              do.end_live_conference),
    Row(E,    ANY,     on.CallsRead,       None,                                   STAY,              do.log_only),

    # AccountSwept: the sweep found a difference between Twilio's lists and the session
    Row(LIVE, ANY,     on.AccountSwept,    None,                                   STAY,              do.check_session),
    Row(E,    ANY,     on.AccountSwept,    when.finds_call_of_another_app,         STAY,              do.log_only),
    Row(E,    ANY,     on.AccountSwept,    when.call_may_continue_elsewhere,       STAY,              do.read_live_call),
    Row(E,    ANY,     on.AccountSwept,    None,                                   STAY,              do.end_what_is_live),

    # ConferenceFound: the sweep found a conference whose session Redis has lost
    Row(B,    ANY,     on.ConferenceFound, when.opens_session,                     C,                 do.open_found_session),
    Row(B,    ANY,     on.ConferenceFound, None,                                   STAY,              do.read_calls),
)
# fmt: on
