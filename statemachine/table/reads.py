"""Reads: what a read of Twilio, a sweep, or a lost conference shows."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, Row, S, T, V

# fmt: off
READS: tuple[Row, ...] = (
    #   in    event               when                                    to    do
    Row(LIVE, on.CallsRead,       when.shows_no_one_at_age_limit,         E,    do.end(EndReason.TOO_OLD)),
    Row(C|T,  on.CallsRead,       when.is_outdated,                       STAY, do.note_outdated_read),
    Row(B,    on.CallsRead,       when.is_outdated,                       STAY, do.read_later),
    # A rollback of Redis lost the conversion.
    Row(B,    on.CallsRead,       when.shows_transfer_in_conference,      T,    (do.leave_bridge, do.rebuild_transfer)),
    Row(B,    on.CallsRead,       when.shows_conversation_in_conference,  C,    (do.leave_bridge, do.rebuild_conference)),
    Row(B,    on.CallsRead,       when.shows_parent_ended_after_dial,     E,    do.end_after_dial),
    Row(B,    on.CallsRead,       when.shows_parent_ended,                E,    do.end_by_read),
    Row(B|C,  on.CallsRead,       when.shows_visitor_elsewhere,           E,    do.end_visitor_elsewhere),
    Row(B,    on.CallsRead,       when.shows_next_agent,                  STAY, do.follow_agent_in_read),
    Row(B,    on.CallsRead,       when.awaits_next_agent,                 STAY, do.read_later),
    Row(B,    on.CallsRead,       when.shows_parent_moved,                E,    do.end_moved),
    Row(B,    on.CallsRead,       when.shows_child_ended_alone,           STAY, do.note_child_gone_by_read),
    Row(B,    on.CallsRead,       when.shows_child_ended,                 E,    do.end_by_read),
    Row(B,    on.CallsRead,       when.shows_child_answered,              STAY, do.note_answer_read),
    Row(V,    on.CallsRead,       when.is_outdated,                       STAY, do.read_calls),
    Row(V,    on.CallsRead,       when.shows_lost_transfer,               T,    (do.finish_conversion_by_read, do.apply_settled_read, do.resume_lost_transfer)),
    Row(V,    on.CallsRead,       when.shows_both_in_conference,          C,    do.finish_conversion_by_read),
    Row(V,    on.CallsRead,       when.shows_customer_with_guests,        C,    do.finish_conversion_with_guests),
    Row(V,    on.CallsRead,       when.shows_agent_left_early,            STAY, do.note_agent_gone_by_read),
    Row(V,    on.CallsRead,       when.shows_parent_moved,                E,    do.end_moved),
    Row(V,    on.CallsRead,       when.shows_child_ended_alone,           STAY, do.note_child_gone_by_read),
    Row(V,    on.CallsRead,       when.shows_either_ended,                E,    do.end_by_read),
    Row(V,    on.CallsRead,       when.has_open_redirect,                 STAY, do.extend_convert_timer),
    Row(V,    on.CallsRead,       when.was_moved_recently,                STAY, do.extend_convert_timer),
    Row(V,    on.CallsRead,       when.repair_is_available,               STAY, do.redirect_missing_leg),
    Row(V,    on.CallsRead,       when.shows_only_customer_joined,        S.MOVING_CUSTOMER, (do.apply_conference, do.continue_without_agent)),
    Row(V,    on.CallsRead,       when.shows_leg_still_missing,           E,    do.end(EndReason.CONVERT_FAILED)),
    Row(C,    on.CallsRead,       when.shows_waiting_party_still_missing, E,    do.end(EndReason.CONVERT_FAILED)),
    Row(C,    on.CallsRead,       when.shows_waiting_party_missing,       STAY, do.redirect_waiting_party),
    Row(C,    on.CallsRead,       when.shows_waiting_conference_over,     STAY, (do.await_waiting_party_rejoin, do.apply_settled_read)),
    Row(C,    on.CallsRead,       when.shows_conference_over,             E,    do.end_conference_over),
    Row(C,    on.CallsRead,       when.shows_lost_transfer,               T,    (do.apply_settled_read, do.resume_lost_transfer)),
    Row(T,    on.CallsRead,       when.shows_customer_still_bridged,      B,    do.return_to_bridge_unmoved),
    Row(T,    on.CallsRead,       when.shows_customer_still_missing,      E,    do.end_customer_missing),
    Row(T,    on.CallsRead,       when.shows_customer_missing,            STAY, do.redirect_customer_again),
    Row(B,    on.CallsRead,       None,                                   STAY, do.read_later),
    Row(C,    on.CallsRead,       None,                                   STAY, do.apply_settled_read),
    Row(T,    on.CallsRead,       None,                                   STAY, do.apply_read),
    Row(V,    on.CallsRead,       None,                                   STAY, do.log_only),

    Row(E,    on.AccountSwept,    when.call_continues_elsewhere,          STAY, do.log_only),
    Row(E,    on.AccountSwept,    when.asks_for_unknown_calls,            STAY, do.find_unknown_calls),
    Row(E,    on.AccountSwept,    when.finds_live_call,                   STAY, do.hang_up_after_end),
    Row(E,    on.AccountSwept,    when.finds_live_conference,             STAY, do.end_live_conference),
    Row(E,    on.AccountSwept,    None,                                   STAY, do.log_only),
    Row(LIVE, on.AccountSwept,    None,                                   STAY, do.check_session),

    Row(B,    on.ConferenceFound, when.found_transfer,                    T,    (do.open_found_session, do.rebuild_transfer)),
    Row(B,    on.ConferenceFound, when.opens_session,                     C,    (do.open_found_session, do.rebuild_conference)),
    Row(B,    on.ConferenceFound, None,                                   STAY, do.read_calls),
)
# fmt: on
