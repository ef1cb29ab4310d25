"""Results of effects, reads of Twilio, the sweep's findings, and timers."""

from conferral.statemachine import actions as do
from conferral.statemachine import effects
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import *
from conferral.statemachine.table.stages import TIMEOUTS

#: The effect failed, or may have.
NOT_DONE = (on.EffectFailed, on.EffectUnknown)
ANY_RESULT = (on.EffectSucceeded, on.EffectFailed, on.EffectUnknown)

# fmt: off
EFFECT_RESULTS: tuple[Row, ...] = (
    # Row by row: in, phase, event, when, to, do
    # Dials: CreateParticipant, CreateCall, and FindCall, which searches for the call of a dial
    Row(B|C|T, ANY, ANY_RESULT,         when.searched_party,          STAY, do.note_search_result),
    # The conference has not started, or has ended: the gate joins whichever is there by then.
    Row(C|T,   ANY, on.EffectFailed,    when.dial_lacks_conference,   STAY, do.redial_at_gate),
    Row(B|C|T, ANY, on.EffectFailed,    when.caller_id_was_refused,   STAY, do.redial_with_business_number),
    Row(B|C|T, ANY, on.EffectFailed,    when.party_of_dial,           STAY, do.note_dial_failed),
    Row(B|C|T, ANY, on.EffectUnknown,   when.party_of_dial,           STAY, do.note_dial_unknown),
    Row(B|C|T, ANY, on.EffectSucceeded, when.party_of_dial,           STAY, do.note_dial_placed),
    Row(V|C|T, ANY, on.EffectSucceeded, when.is_result_of_lost_dial,  STAY, do.add_leg_of_lost_dial),
    Row(C|T,   ANY, on.EffectSucceeded, when.unwanted_call_was_found, STAY, do.hang_up_late_dial),

    # RedirectCall: a leg is moved into the conference
    Row(V|C|T,             ANY, on.EffectSucceeded, when.is_result_of(effects.RedirectCall), STAY, do.note_redirect_ended),
    Row(V,                 ANY, on.EffectFailed,    when.is_first_redirect,                  B,    do.return_to_bridge),
    # No leg has moved: agent and customer still talk over the bridge.
    Row(S.MOVING_CUSTOMER, ANY, on.EffectFailed,    when.is_refused_move_from_bridge,        B,    do.return_to_bridge),
    # A read shows who is where, or who hung up before the move (21220).
    Row(V|C|T,             ANY, NOT_DONE,           when.is_result_of(effects.RedirectCall), STAY, (do.note_redirect_ended, do.suspect)),

    # RedirectToVoicemail. FindMessage and FindRecording, after the end: callbacks may be lost
    Row(S.LEAVING_MESSAGE, ANY, on.EffectSucceeded, when.is_result_of(effects.RedirectToVoicemail),                 STAY,
        do.note_moved_to_voicemail),
    Row(S.LEAVING_MESSAGE, ANY, on.EffectFailed,    (when.is_result_of(effects.RedirectToVoicemail), when.is_gone), STAY,
        do.verify_voicemail),
    Row(S.LEAVING_MESSAGE, ANY, on.EffectFailed,    when.is_result_of(effects.RedirectToVoicemail),                 S.FALLING_BACK,
        do.give_up_voicemail),
    Row(S.LEAVING_MESSAGE, ANY, on.EffectUnknown,   when.is_result_of(effects.RedirectToVoicemail),                 STAY,
        do.verify_voicemail),
    Row(E,                 ANY, on.EffectSucceeded, when.is_result_of(effects.FindMessage),                         STAY,
        do.note_message),
    Row(E,                 ANY, on.EffectSucceeded, when.is_result_of(effects.FindRecording),                       STAY,
        do.note_recording_found),

    # UpdateParticipant: hold, mute, end-on-exit, or coaching; after a failure, a read and another request follow
    # Twilio can't hold a participant before the conference starts; a customer who waits alone moves to another.
    Row(C|T, ANY, on.EffectFailed, when.customer_hold_failed,                    STAY, do.move_to_new_conference),
    Row(C|T, ANY, ANY_RESULT,      when.is_result_of(effects.UpdateParticipant), STAY, do.note_update_result),

    # HangUpCall: Twilio is read if no callback follows. A transfer repeats one that a read shows to have failed.
    Row(S.RELEASING_AGENT, ANY, on.EffectFailed, when.agent_hang_up_was_refused, S.TALKING, (do.keep_agent, do.undo_complete)),
    Row(LIVE,              ANY, on.EffectFailed, when.agent_hang_up_was_refused, STAY,      do.keep_agent),

    # Recordings, announcements, and reads
    Row(LIVE, ANY, on.EffectSucceeded, when.is_result_of(effects.StartRecording, effects.ChangeRecording), STAY, do.note_recording_done),
    Row(LIVE, ANY, NOT_DONE,           when.is_result_of(effects.StartRecording, effects.ChangeRecording), STAY, do.note_recording_failed),
    Row(C|T,  ANY, NOT_DONE,           when.is_result_of(effects.PlayAnnouncement),                        STAY,
        do.note_announcement_failed),

    # After the end: nothing of the session may go on
    Row(E, ANY, on.EffectSucceeded, when.shows_live_leg,                                               STAY, do.hang_up_after_end),
    Row(E, ANY, ANY_RESULT,         when.is_awaited_by_end,                                            STAY, do.note_end_result),
    Row(E, ANY, on.EffectSucceeded, (when.is_result_of(effects.SayAndHangUp), when.guests_may_remain), STAY, do.end_conference),
    Row(E, ANY, NOT_DONE,           when.is_result_of(effects.SayAndHangUp),                           STAY,
        do.hang_up_after_failed_sentence),
    # The end of the conference also moves the customer on, by the action of the <Dial>.
    Row(E, ANY, NOT_DONE,           when.redirect_to_url_failed,                                       STAY, do.end_conference),
)

#: Stages in which agent and customer are in the conference, and the target is dialed next.
BEFORE_DIALS = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER)
NOTE_FINDING = (do.forget_dials_to_come, do.read_after_finding)
#: A read of Twilio, a difference that the sweep found, or a lost conference.
READS: tuple[Row, ...] = (
    # Row by row: in, phase, event, when, to, do
    # CallsRead, of every live session
    Row(LIVE, ANY, on.CallsRead,       when.shows_no_one_at_age_limit,         E,                 do.end(EndReason.TOO_OLD)),

    # CallsRead, before a conference of two: what no callback can say
    Row(B|C,  ANY, on.CallsRead,       when.shows_caller_elsewhere,            E,                 do.end_moved),
    Row(B,    ANY, on.CallsRead,       when.shows_child_moved,                 E,                 do.end_child_moved),
    Row(B,    ANY, on.CallsRead,       when.next_agent_call,                   STAY,              do.switch_to_next_agent),
    Row(B,    ANY, on.CallsRead,       when.awaits_next_agent,                 STAY,              (do.note_parent_live, do.read_later)),
    Row(B|V,  ANY, on.CallsRead,       when.shows_parent_moved,                E,                 do.end_moved),
    Row(V,    ANY, on.CallsRead,       when.leg_to_repair,                     STAY,              do.redirect_missing_leg),
    Row(V,    ANY, on.CallsRead,       when.shows_only_customer_joined,        S.MOVING_CUSTOMER, (do.observe, do.continue_alone)),
    Row(V,    ANY, on.CallsRead,       when.shows_leg_still_missing,           E,                 do.end(EndReason.CONVERT_FAILED)),

    # CallsRead, while conferenced or transferring
    Row(T,    ANY, on.CallsRead,       when.shows_customer_still_bridged,      B,                 do.return_to_bridge),
    Row(T,    ANY, on.CallsRead,       when.voicemail_can_be_repeated,         STAY,              (do.observe, do.repeat_voicemail)),
    Row(T,    ANY, on.CallsRead,       when.shows_customer_not_in_voicemail,   S.FALLING_BACK,    (do.observe, do.give_up_voicemail)),
    Row(C|T,  ANY, on.CallsRead,       when.shows_waiting_party_still_missing, E,                 do.end(EndReason.CONVERT_FAILED)),
    Row(C|T,  ANY, on.CallsRead,       when.shows_waiting_party_missing,       STAY,              do.redirect_waiting_party),
    Row(C,    ANY, on.CallsRead,       when.shows_waiting_conference_over,     STAY,
        (do.await_in_another_conference, do.observe)),
    Row(C,    ANY, on.CallsRead,       when.shows_conference_over,             E,                 do.end_conference_over),
    Row(LIVE, ANY, on.CallsRead,       None,                                   STAY,              do.observe),

    # CallsRead, after the end: a live call may be in another app's hands, or alone in the session's conference
    Row(E,    ANY, on.CallsRead,       when.shows_leg_left_alone,              STAY,              do.end_conference),

    # AccountSwept: the sweep found a difference between Twilio's lists and the session, or Redis lost writes
    Row(BEFORE_DIALS,      ANY, on.AccountSwept, when.forgets_dial, C,    (do.forget_transfer, *NOTE_FINDING)),
    Row(B|V,               ANY, on.AccountSwept, when.forgets_dial, STAY, (do.forget_transfer, *NOTE_FINDING)),
    Row(S.MOVING_CUSTOMER, ANY, on.AccountSwept, when.forgets_dial, STAY, (do.forget_target, *NOTE_FINDING)),
    Row(LIVE,              ANY, on.AccountSwept, None,              STAY, NOTE_FINDING),

    # AccountSwept, after the end
    Row(E,    ANY, on.AccountSwept,    when.call_may_continue_elsewhere,       STAY,              do.read_live_call),
    Row(E,    ANY, on.AccountSwept,    None,                                   STAY,              do.end_what_is_live),

    # DesksLeft: the task `queue` found that no one takes a waiting caller
    Row(C,    QUEUED, on.DesksLeft,    when.has_no_desk_now,                   S.FALLING_BACK,    do.leave_queue_without_desk),

    # ConferenceFound: the sweep found a conference whose session Redis has lost
    Row(B,    ANY, on.ConferenceFound, when.opens_session,                     C,                 do.open_found_session),
    Row(B,    ANY, on.ConferenceFound, None,                                   STAY,              do.suspect),
)

#: Stages in which someone is put on hold for a talk that they are not to hear.
PRIVATE = (S.HOLDING_CUSTOMER, S.HOLDING_FOR_SWAP)
#: What follows when something has not happened in time.
TIMERS: tuple[Row, ...] = (
    # Row by row: in, phase, event, when, to, do
    # Calls: CallsOverdue, DialOverdue
    # Otherwise, the action's answer has ended the parent's call, or another app has moved it.
    Row(B,                  ANY,  on.CallsOverdue,          when.dial_reached_no_one,    E,            do.end_bridge),
    Row(B,                  ANY,  on.CallsOverdue,          None,                        STAY,         do.suspect),
    Row(B|C|T,              ANY,  on.DialOverdue,           None,                        STAY,         do.check_dials),

    # The conversion: while both are still bridged, they talk, and no one is disconnected. Later, only a read ends it.
    Row(V,                  ANY,  on.ConvertOverdue,        when.awaits_redirect,        STAY,         do.wait_for_move),
    Row(V,                  ANY,  on.ConvertOverdue,        when.both_are_still_bridged, B,            do.return_to_bridge),

    # A hold, also in a consult: HoldOverdue
    Row(T,                  ANY,  on.HoldOverdue,           when.overdue_holds,          S.CANCELLING, do.fail_at_hold_limit),
    Row(C|T,                ANY,  on.HoldOverdue,           None,                        STAY,         do.end_overdue_holds),

    # A transfer: StageOverdue, with the limits of `stages`
    # An agent who has left, or is leaving, does not hear the customer who is off hold.
    Row(S.HOLDING_CUSTOMER, PARK, on.StageOverdue,          when.agent_is_leaving,       S.PARKING,    do.mark_agent_leaving),
    # A request with `Hold=false` that has no answer may undo the hold.
    Row(PRIVATE,            ANY,  on.StageOverdue,          when.hold_may_be_undone,     STAY,         do.await_lasting_hold),
    *TIMEOUTS,

    # Commands other than transfers and their steps
    Row(LIVE,               ANY,  on.PendingCommandOverdue, None,                        STAY,         do.fail_overdue_commands),
)
# fmt: on
