"""Results of effects: Twilio did, refused, or did not answer a request."""

from conferral.statemachine import actions as do
from conferral.statemachine import effects
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.table.row import ANY, LIVE, STAY, B, C, E, O, Row, S, T, V

#: The effect failed, or may have.
NOT_DONE = (on.EffectFailed, on.EffectUnknown)
ANY_RESULT = (on.EffectSucceeded, on.EffectFailed, on.EffectUnknown)

# fmt: off
EFFECT_RESULTS: tuple[Row, ...] = (
    #   in                 phaseevent               when                                                                to         do
    # Dials: CreateParticipant, CreateCall, and FindCall, which searches for the call of a dial
    Row(B|C|T,             ANY, ANY_RESULT,         when.call_was_not_found,                                            STAY,      do.note_call_not_found),
    Row(O.DIALING,         ANY, on.EffectFailed,    when.dial_shows_conference_over,                                    STAY,      do.await_rejoin),
    Row(C|T,               ANY, on.EffectFailed,    when.is_dial_before_start,                                          STAY,      do.redial_at_gate),
    Row(T,                 ANY, on.EffectFailed,    when.is_dial_into_ended_conference,                                 STAY,      do.read_before_giving_up_dial),
    Row(B|C|T,             ANY, on.EffectFailed,    when.caller_id_was_refused,                                         STAY,      do.redial_with_business_number),
    Row(B|C|T,             ANY, on.EffectFailed,    when.is_dial_result,                                                STAY,      do.note_dial_failed),
    Row(B|C|T,             ANY, on.EffectUnknown,   when.is_dial_result,                                                STAY,      do.note_dial_unknown),
    Row(B|C|T,             ANY, on.EffectSucceeded, when.is_find_call_result,                                           STAY,      do.note_dial_placed),
    Row(B|C|T,             ANY, on.EffectSucceeded, when.is_dial_result,                                                STAY,      do.note_dial_placed),
    Row(C|T,               ANY, on.EffectSucceeded, when.unwanted_call_was_found,                                       STAY,      do.hang_up_late_dial),

    # RedirectCall: a leg is moved into the conference
    Row(V|C|T,             ANY, on.EffectSucceeded, when.is_result_of(effects.RedirectCall),                            STAY,      do.note_redirected),
    Row(V,                 ANY, on.EffectFailed,    when.is_first_redirect,                                             B,         do.return_to_bridge),
    # No leg has moved: agent and customer still talk over the bridge.
    Row(S.MOVING_CUSTOMER, ANY, on.EffectFailed,    when.is_refused_move_from_bridge,                                   B,         do.return_to_bridge_unmoved),
    # A read shows who is where, or who hung up before the move (21220).
    Row(V|C|T,             ANY, NOT_DONE,           when.is_result_of(effects.RedirectCall),                            STAY,      (do.note_redirect_ended, do.read_calls)),

    # UpdateParticipant: hold, mute, end-on-exit, or coaching
    Row(C|T,               ANY, on.EffectFailed,    when.is_update_of_gone_participant,                                 STAY,      (do.note_update_result, do.read_calls)),
    # Twilio can't hold a participant before the conference starts.
    Row(C|T,               ANY, on.EffectFailed,    when.customer_hold_failed,                                          STAY,      do.move_to_new_conference),
    Row(C|T,               ANY, on.EffectFailed,    when.is_update_before_start,                                        STAY,      do.await_conference_start),
    Row(C|T,               ANY, on.EffectFailed,    when.supervisor_update_was_refused,                                 STAY,      do.note_supervisor_refused),
    Row(C|T,               ANY, ANY_RESULT,         when.is_result_of(effects.UpdateParticipant),                       STAY,      do.note_update_result),

    # HangUpCall: its callback may be late or lost, and others may wait for the party to leave
    Row(C|T,               ANY, on.EffectSucceeded, when.missed_end_of_call,                                            STAY,      do.read_until_known),
    Row(S.RELEASING_AGENT, ANY, on.EffectFailed,    when.agent_hang_up_was_refused,                                     S.TALKING, (do.keep_agent, do.undo_complete)),
    Row(C|T,               ANY, on.EffectFailed,    when.agent_hang_up_was_refused,                                     STAY,      do.keep_agent),

    # Recordings, announcements, and reads
    Row(LIVE,              ANY, on.EffectSucceeded, when.is_result_of(effects.StartRecording, effects.ChangeRecording), STAY,      do.note_recording_done),
    Row(LIVE,              ANY, NOT_DONE,           when.is_result_of(effects.StartRecording, effects.ChangeRecording), STAY,      do.note_recording_failed),
    Row(C|T,               ANY, NOT_DONE,           when.is_result_of(effects.PlayAnnouncement),                        STAY,      do.note_announcement_failed),
    Row(B|C|T,             ANY, NOT_DONE,           when.is_result_of(effects.ReadCalls),                               STAY,      do.read_again),

    # After the end: nothing of the session may go on
    Row(E,                 ANY, on.EffectSucceeded, when.shows_live_leg,                                                STAY,      do.hang_up_after_end),
    Row(E,                 ANY, ANY_RESULT,         when.is_awaited_hang_up,                                            STAY,      do.note_hang_up_result),
    Row(E,                 ANY, on.EffectSucceeded, when.leaves_guests_behind,                                          STAY,      do.end_conference),
    Row(E,                 ANY, NOT_DONE,           when.sentence_failed,                                               STAY,      do.hang_up_after_failed_sentence),
    # The end of the conference also moves the customer on, by the action of the <Dial>.
    Row(E,                 ANY, NOT_DONE,           when.redirect_to_url_failed,                                        STAY,      do.end_conference),

    # All others
    Row(LIVE|E,            ANY, ANY_RESULT,         None,                                                               STAY,      do.log_only),
)
# fmt: on
