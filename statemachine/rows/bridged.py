"""Bridged: customer and agent in an ordinary `<Dial>`, ringing or talking.

The parent is the one whose `<Dial>` it is (inbound: the customer), the child the one whom it rings.
"""

from statemachine.actions.bridge import (
    find_agent,
    let_agent_in,
    look_at_dialled,
    note_answer,
    note_answer_seen,
    note_child_over,
    note_dial_ended,
    note_parent_over,
    note_ringing,
)
from statemachine.actions.commands import refuse_existing, refuse_leaving, refuse_ringing, refuse_without_transfer
from statemachine.actions.converting import adopt_conversion, adopt_moved, convert
from statemachine.actions.dialling import doubt_dial, note_dialled, note_gate_reached, note_progress
from statemachine.actions.endings import (
    end_agent_overdue,
    end_by_child_over,
    end_by_command,
    end_by_dial,
    end_by_read,
    end_by_timeout,
    end_not_dialled,
    end_parent_left,
    end_too_old,
    end_turned_away,
)
from statemachine.actions.looking import look_at_calls, look_later
from statemachine.actions.opening import adopt_session, open_outbound, open_session
from statemachine.actions.passing import note_only, pass_over_late, pass_over_unknown_call
from statemachine.actions.transferring import begin_from_bridge, convert_for_transfer
from statemachine.events import (
    AgeOverdue,
    Always,
    Call,
    CallProgressed,
    CallReceived,
    CallsRead,
    Cancel,
    Complete,
    Convert,
    DialEnded,
    DialOverdue,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    GateDecided,
    GateReached,
    LeaveOverdue,
    Merge,
    ParticipantJoined,
    RingOverdue,
    Swap,
    Transfer,
)
from statemachine.guards.calls import (
    asker_is_gone,
    child_answers,
    child_is_over,
    child_is_over_and_dial_ended,
    child_rings,
    dial_ended_before,
    dial_is_in_doubt,
    dial_settles_it,
    dial_was_looked_at,
    finds_nothing,
    is_connected,
    is_late_status,
    is_let_in,
    is_new,
    is_not_the_bridge,
    is_of_current_dial,
    is_of_former_call,
    is_of_unknown_call,
    is_ringing_still,
    is_searched,
    opens_by_callback,
    other_side_was_moved,
    parent_goes_on,
    parent_is_over,
    parent_is_over_after_child,
)
from statemachine.guards.outcomes import is_dial, is_read
from statemachine.guards.reads import (
    is_outdated,
    is_to_look_again,
    shows_child_answered,
    shows_child_over,
    shows_parent_over,
)
from statemachine.guards.room import is_stranger
from statemachine.guards.transfers import is_blind_and_connected
from statemachine.rows.row import STAY, B, E, Row, T, V

# fmt: off
BRIDGED: tuple[Row, ...] = (
    #   state event              guard                         target  action
    Row(B, CallReceived,       is_new,                       STAY, open_session),
    Row(B, CallReceived,       None,                         STAY, pass_over_late),
    Row(B, Call,               is_new,                       STAY, open_outbound),
    Row(B, Call,               None,                         STAY, refuse_existing),
    Row(B, CallProgressed,     opens_by_callback,            STAY, adopt_session),
    Row(B, CallProgressed,     is_of_former_call,            STAY, pass_over_late),
    Row(B, CallProgressed,     is_of_unknown_call,           STAY, pass_over_unknown_call),
    Row(B, CallProgressed,     is_late_status,               STAY, pass_over_late),
    Row(B, CallProgressed,     parent_goes_on,               STAY, note_progress),
    Row(B, CallProgressed,     child_rings,                  STAY, note_ringing),
    Row(B, CallProgressed,     child_answers,                STAY, note_answer),
    # Twilio hangs up the child's leg when the parent goes, so the child's end alone does not tell who went first.
    Row(B, CallProgressed,     child_is_over_and_dial_ended, E,    end_by_child_over),
    Row(B, CallProgressed,     child_is_over,                STAY, note_child_over),
    Row(B, CallProgressed,     parent_is_over_after_child,   STAY, note_parent_over),
    Row(B, CallProgressed,     parent_is_over,               E,    end_parent_left),
    Row(B, CallProgressed,     None,                         STAY, note_only),
    # The action of the <Dial> is asked when it ends; its CallStatus says whether the parent is still there.
    Row(B, DialEnded,          is_not_the_bridge,            STAY, note_only),
    Row(B, DialEnded,          asker_is_gone,                E,    end_parent_left),
    Row(B, DialEnded,          other_side_was_moved,         V,    adopt_moved),
    Row(B, DialEnded,          dial_ended_before,            STAY, pass_over_late),
    Row(B, DialEnded,          dial_settles_it,              E,    end_by_dial),
    Row(B, DialEnded,          None,                         STAY, note_dial_ended),
    # Our gate is what the agent of an outbound session meets first.
    Row(B, GateReached,        is_of_current_dial,           STAY, note_gate_reached),
    Row(B, GateReached,        None,                         STAY, note_only),
    Row(B, GateDecided,        is_let_in,                    STAY, let_agent_in),
    Row(B, GateDecided,        is_of_current_dial,           E,    end_turned_away),
    Row(B, GateDecided,        None,                         STAY, note_only),
    Row(B, ParticipantJoined,  is_stranger,                  STAY, pass_over_unknown_call),
    Row(B, ParticipantJoined,  None,                         V,    adopt_conversion),
    Row(B, RingOverdue,        None,                         STAY, look_at_calls),
    Row(B, DialOverdue,        dial_is_in_doubt,             STAY, find_agent),
    Row(B, DialOverdue,        dial_was_looked_at,           E,    end_agent_overdue),
    Row(B, DialOverdue,        None,                         STAY, look_at_dialled),
    Row(B, LeaveOverdue,       dial_ended_before,            E,    end_by_timeout),
    Row(B, LeaveOverdue,       None,                         STAY, look_at_calls),
    Row(B, AgeOverdue,         None,                         E,    end_too_old),
    Row(B, CallsRead,          is_outdated,                  STAY, look_later),
    Row(B, CallsRead,          shows_parent_over,            E,    end_by_read),
    Row(B, CallsRead,          shows_child_over,             E,    end_by_read),
    Row(B, CallsRead,          shows_child_answered,         STAY, note_answer_seen),
    Row(B, CallsRead,          None,                         STAY, look_later),
    Row(B, EffectSucceeded,    finds_nothing,                E,    end_not_dialled),
    Row(B, EffectSucceeded,    is_searched,                  STAY, note_dialled),
    Row(B, EffectSucceeded,    is_dial,                      STAY, note_dialled),
    Row(B, EffectSucceeded,    None,                         STAY, note_only),
    Row(B, EffectFailed,       is_dial,                      E,    end_not_dialled),
    Row(B, EffectFailed,       is_searched,                  E,    end_not_dialled),
    Row(B, EffectFailed,       is_read,                      STAY, look_later),
    Row(B, EffectFailed,       None,                         STAY, note_only),
    Row(B, EffectUnknown,      is_dial,                      STAY, doubt_dial),
    Row(B, EffectUnknown,      is_searched,                  E,    end_not_dialled),
    Row(B, EffectUnknown,      is_read,                      STAY, look_later),
    Row(B, EffectUnknown,      None,                         STAY, note_only),
    Row(B, Always,             is_to_look_again,             STAY, look_at_calls),
    Row(B, Convert,            is_ringing_still,             STAY, refuse_ringing),
    Row(B, Convert,            is_connected,                 V,    convert),
    Row(B, Convert,            None,                         STAY, refuse_leaving),
    Row(B, Transfer,           is_ringing_still,             STAY, refuse_ringing),
    Row(B, Transfer,           is_blind_and_connected,       T,    begin_from_bridge),
    Row(B, Transfer,           is_connected,                 V,    convert_for_transfer),
    Row(B, Transfer,           None,                         STAY, refuse_leaving),
    Row(B, Complete,           None,                         STAY, refuse_without_transfer),
    Row(B, Cancel,             None,                         STAY, refuse_without_transfer),
    Row(B, Swap,               None,                         STAY, refuse_without_transfer),
    Row(B, Merge,              None,                         STAY, refuse_without_transfer),
    Row(B, End,                None,                         E,    end_by_command),
)
# fmt: on
