"""Ended: no row leads out of here. A leg that arrives late is still let go."""

from conferral.statemachine.actions.dials import find_unknown_calls, hang_up_late_call, let_found_call_go
from conferral.statemachine.actions.ignored import ignore_late, log_only
from conferral.statemachine.actions.recording import note_recording_changed
from conferral.statemachine.actions.reports import refuse_ended, refuse_existing
from conferral.statemachine.actions.session_end import (
    end_conference_after_failed_redirect,
    end_live_conference,
    end_room_of_guests,
    hang_up_after_failed_sentence,
    hang_up_late_leg,
    hang_up_live_call,
    note_hang_up_result,
)
from conferral.statemachine.actions.session_start import hang_up_second_call
from conferral.statemachine.events import (
    AccountSwept,
    Add,
    Announce,
    Call,
    CallProgressed,
    Cancel,
    ClientCallReceived,
    Complete,
    Convert,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    GateDecided,
    GateReached,
    Hold,
    Merge,
    Mute,
    Park,
    ParticipantJoined,
    Record,
    RecordingChanged,
    Remove,
    Retrieve,
    Supervise,
    Swap,
    Transfer,
    Unhold,
    Unmute,
)
from conferral.statemachine.guards.calls import is_live_leg_at_gate, is_own_live_leg, shows_live_leg
from conferral.statemachine.guards.effect_results import is_awaited_hang_up, redirect_to_url_failed, sentence_failed
from conferral.statemachine.guards.ended_session import (
    asks_for_unknown_calls,
    call_continues_elsewhere,
    finds_live_call,
    finds_live_conference,
    finds_unknown_call,
    joined_before_redirected_away,
    leaves_guests_behind,
)
from conferral.statemachine.guards.waiting_party import is_of_second_call
from conferral.statemachine.rows.row import STAY, E, Row

# fmt: off
ENDED: tuple[Row, ...] = (
    #   state event              guard                         target  action
    Row(E, CallProgressed,     is_own_live_leg,          STAY, hang_up_late_call),
    Row(E, CallProgressed,     None,                         STAY, ignore_late),
    Row(E, GateReached,        is_live_leg_at_gate,          STAY, hang_up_late_call),
    Row(E, GateReached,        None,                         STAY, ignore_late),
    Row(E, GateDecided,        is_live_leg_at_gate,          STAY, hang_up_late_call),
    Row(E, GateDecided,        None,                         STAY, ignore_late),
    Row(E, ParticipantJoined,   joined_before_redirected_away,        STAY, log_only),
    Row(E, ParticipantJoined,  None,                         STAY, hang_up_late_leg),
    Row(E, EffectSucceeded,     finds_unknown_call,           STAY, let_found_call_go),
    Row(E, EffectSucceeded,    is_awaited_hang_up,            STAY, note_hang_up_result),
    Row(E, EffectSucceeded,    shows_live_leg,            STAY, hang_up_late_call),
    Row(E, EffectSucceeded,     leaves_guests_behind,         STAY, end_room_of_guests),
    Row(E, EffectSucceeded,    None,                         STAY, log_only),
    Row(E, EffectFailed,       is_awaited_hang_up,            STAY, note_hang_up_result),
    Row(E, EffectFailed,       sentence_failed,                 STAY, hang_up_after_failed_sentence),
    # The end of the conference leads him on as well, by the action of his <Dial>.
    Row(E, EffectFailed,        redirect_to_url_failed,              STAY, end_conference_after_failed_redirect),
    Row(E, EffectFailed,       None,                         STAY, log_only),
    Row(E, EffectUnknown,      is_awaited_hang_up,            STAY, note_hang_up_result),
    Row(E, EffectUnknown,      sentence_failed,                 STAY, hang_up_after_failed_sentence),
    Row(E, EffectUnknown,       redirect_to_url_failed,              STAY, end_conference_after_failed_redirect),
    Row(E, EffectUnknown,      None,                         STAY, log_only),
    Row(E, ClientCallReceived,  is_of_second_call,            STAY, hang_up_second_call),
    Row(E, ClientCallReceived,  None,                         STAY, ignore_late),
    Row(E, RecordingChanged,    None,                         STAY, note_recording_changed),
    Row(E, AccountSwept,        call_continues_elsewhere,            STAY, log_only),
    Row(E, AccountSwept,        asks_for_unknown_calls,       STAY, find_unknown_calls),
    Row(E, AccountSwept,        finds_live_call,              STAY, hang_up_live_call),
    Row(E, AccountSwept,        finds_live_conference,        STAY, end_live_conference),
    Row(E, AccountSwept,        None,                         STAY, log_only),
    Row(E, Convert,            None,                         STAY, refuse_ended),
    Row(E, Transfer,           None,                         STAY, refuse_ended),
    Row(E, Complete,           None,                         STAY, refuse_ended),
    Row(E, Cancel,             None,                         STAY, refuse_ended),
    Row(E, Swap,               None,                         STAY, refuse_ended),
    Row(E, Merge,              None,                         STAY, refuse_ended),
    Row(E, Park,                None,                         STAY, refuse_ended),
    Row(E, Retrieve,            None,                         STAY, refuse_ended),
    Row(E, Add,                 None,                         STAY, refuse_ended),
    Row(E, Remove,              None,                         STAY, refuse_ended),
    Row(E, Hold,                None,                         STAY, refuse_ended),
    Row(E, Unhold,              None,                         STAY, refuse_ended),
    Row(E, Mute,                None,                         STAY, refuse_ended),
    Row(E, Unmute,              None,                         STAY, refuse_ended),
    Row(E, Supervise,           None,                         STAY, refuse_ended),
    Row(E, Announce,            None,                         STAY, refuse_ended),
    Row(E, Record,              None,                         STAY, refuse_ended),
    Row(E, Call,               None,                         STAY, refuse_existing),
    Row(E, End,                None,                         STAY, refuse_ended),
)
# fmt: on
