"""Ended: no row leads out of here. A leg that arrives late is still let go."""

from conferral.statemachine.actions.commands import refuse_ended, refuse_existing
from conferral.statemachine.actions.dialling import find_unknown_calls, let_found_call_go, let_late_call_go
from conferral.statemachine.actions.endings import (
    end_live_conference,
    end_room_of_guests,
    end_room_of_unsent,
    hang_up_unspoken,
    let_late_leg_go,
    let_live_call_go,
    note_ending,
)
from conferral.statemachine.actions.opening import let_second_call_go
from conferral.statemachine.actions.passing import note_only, pass_over_late
from conferral.statemachine.actions.recording import note_recording
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
from conferral.statemachine.guards.calls import is_live_leg_at_gate, is_live_leg_of_ours, tells_of_live_leg
from conferral.statemachine.guards.company import is_of_second_call
from conferral.statemachine.guards.ended import (
    asks_for_unknown_calls,
    finds_live_call,
    finds_live_conference,
    finds_unknown_call,
    is_no_longer_ours,
    joined_before_sent_on,
    leaves_guests_behind,
)
from conferral.statemachine.guards.outcomes import is_ending_awaited, was_not_said, was_not_sent_on
from conferral.statemachine.rows.row import STAY, E, Row

# fmt: off
ENDED: tuple[Row, ...] = (
    #   state event              guard                         target  action
    Row(E, CallProgressed,     is_live_leg_of_ours,          STAY, let_late_call_go),
    Row(E, CallProgressed,     None,                         STAY, pass_over_late),
    Row(E, GateReached,        is_live_leg_at_gate,          STAY, let_late_call_go),
    Row(E, GateReached,        None,                         STAY, pass_over_late),
    Row(E, GateDecided,        is_live_leg_at_gate,          STAY, let_late_call_go),
    Row(E, GateDecided,        None,                         STAY, pass_over_late),
    Row(E, ParticipantJoined,   joined_before_sent_on,        STAY, note_only),
    Row(E, ParticipantJoined,  None,                         STAY, let_late_leg_go),
    Row(E, EffectSucceeded,     finds_unknown_call,           STAY, let_found_call_go),
    Row(E, EffectSucceeded,    is_ending_awaited,            STAY, note_ending),
    Row(E, EffectSucceeded,    tells_of_live_leg,            STAY, let_late_call_go),
    Row(E, EffectSucceeded,     leaves_guests_behind,         STAY, end_room_of_guests),
    Row(E, EffectSucceeded,    None,                         STAY, note_only),
    Row(E, EffectFailed,       is_ending_awaited,            STAY, note_ending),
    Row(E, EffectFailed,       was_not_said,                 STAY, hang_up_unspoken),
    # The end of the conference leads him on as well, by the action of his <Dial>.
    Row(E, EffectFailed,        was_not_sent_on,              STAY, end_room_of_unsent),
    Row(E, EffectFailed,       None,                         STAY, note_only),
    Row(E, EffectUnknown,      is_ending_awaited,            STAY, note_ending),
    Row(E, EffectUnknown,      was_not_said,                 STAY, hang_up_unspoken),
    Row(E, EffectUnknown,       was_not_sent_on,              STAY, end_room_of_unsent),
    Row(E, EffectUnknown,      None,                         STAY, note_only),
    Row(E, ClientCallReceived,  is_of_second_call,            STAY, let_second_call_go),
    Row(E, ClientCallReceived,  None,                         STAY, pass_over_late),
    Row(E, RecordingChanged,    None,                         STAY, note_recording),
    Row(E, AccountSwept,        is_no_longer_ours,            STAY, note_only),
    Row(E, AccountSwept,        asks_for_unknown_calls,       STAY, find_unknown_calls),
    Row(E, AccountSwept,        finds_live_call,              STAY, let_live_call_go),
    Row(E, AccountSwept,        finds_live_conference,        STAY, end_live_conference),
    Row(E, AccountSwept,        None,                         STAY, note_only),
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
