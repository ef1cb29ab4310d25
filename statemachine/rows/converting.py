"""Converting: both on their way into the conference; the timers repair what got lost."""

from statemachine.actions.asking import note_change
from statemachine.actions.commands import (
    refuse_before_answer,
    refuse_existing,
    refuse_second_transfer,
    refuse_without_transfer,
)
from statemachine.actions.consulting import complete_queued
from statemachine.actions.converting import (
    follow_into_room,
    give_up_converting,
    join_conversion,
    look_after_redirect,
    look_in_a_moment,
    note_dial_end,
    note_redirect_over,
    note_redirected,
    redirect_missing,
    return_to_bridge,
    settle,
    settle_by_read,
    wait_for_redirect,
)
from statemachine.actions.endings import (
    end_by_command,
    end_by_read,
    end_convert_failed,
    end_party_left,
    end_too_old,
)
from statemachine.actions.handing_over import cancel_queued
from statemachine.actions.looking import look_at_calls, look_for_missing
from statemachine.actions.passing import note_only, pass_over_late, pass_over_unknown_call
from statemachine.actions.room import note_guest, note_join, note_leaving, note_left_room, note_room, note_room_gone
from statemachine.actions.transferring import go_on_without_agent, note_agent_gone_by_read, queue_transfer
from statemachine.events import (
    AgeOverdue,
    Always,
    Call,
    CallProgressed,
    CallsRead,
    Cancel,
    Complete,
    ConferenceEnded,
    ConferenceStarted,
    Convert,
    ConvertOverdue,
    DialEnded,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    Merge,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RepairOverdue,
    Swap,
    Transfer,
)
from statemachine.guards.calls import (
    asker_is_gone,
    is_bridge_and_alive,
    is_late_status,
    is_of_former_call,
    is_of_stranger,
    is_of_unknown_call,
    party_is_over,
)
from statemachine.guards.converting import (
    agent_leaves_transfer,
    agent_left_for_transfer,
    converts_for_transfer,
    has_moved_nobody,
    is_redirecting,
    is_too_soon,
    is_unrepaired,
    only_customer_came,
    waits_for_a_redirect,
)
from statemachine.guards.outcomes import is_first_redirect, is_redirect, is_redirect_of_gone_call
from statemachine.guards.reads import (
    is_outdated,
    is_to_look_again,
    shows_agent_left_for_transfer,
    shows_both_in_room,
    shows_somebody_over,
)
from statemachine.guards.room import (
    guest_hung_up,
    hung_up,
    is_another_room,
    is_last_to_join,
    is_of_former_room,
    is_older_news,
    is_stranger,
    joins_another_room,
)
from statemachine.guards.transfers import is_transferring_already
from statemachine.rows.row import STAY, B, C, E, Row, T, V

# fmt: off
CONVERTING: tuple[Row, ...] = (
    #   state event              guard                         target  action
    Row(V, CallProgressed,     is_of_former_call,            STAY, pass_over_late),
    Row(V, CallProgressed,     is_of_unknown_call,           STAY, pass_over_unknown_call),
    Row(V, CallProgressed,     is_late_status,               STAY, pass_over_late),
    # An agent who leaves while a transfer is being prepared has handed over: it goes on as a blind one.
    Row(V, CallProgressed,     agent_leaves_transfer,        STAY, note_leaving),
    Row(V, CallProgressed,     party_is_over,                E,    end_party_left),
    Row(V, CallProgressed,     None,                         STAY, note_only),
    Row(V, DialEnded,          is_of_stranger,               STAY, pass_over_unknown_call),
    Row(V, DialEnded,          agent_leaves_transfer,        STAY, note_leaving),
    Row(V, DialEnded,          asker_is_gone,                E,    end_party_left),
    Row(V, DialEnded,          is_bridge_and_alive,          STAY, note_dial_end),
    Row(V, DialEnded,          None,                         STAY, note_only),
    Row(V, ConferenceStarted,  is_another_room,              STAY, note_only),
    Row(V, ConferenceStarted,  None,                         STAY, note_room),
    Row(V, ConferenceEnded,    is_another_room,              STAY, note_only),
    Row(V, ConferenceEnded,    None,                         STAY, note_room_gone),
    Row(V, ParticipantJoined,  is_of_former_room,            STAY, pass_over_late),
    Row(V, ParticipantJoined,  is_stranger,                  STAY, note_guest),
    Row(V, ParticipantJoined,  is_older_news,                STAY, pass_over_late),
    Row(V, ParticipantJoined,  joins_another_room,           STAY, follow_into_room),
    Row(V, ParticipantJoined,  is_last_to_join,              C,    settle),
    Row(V, ParticipantJoined,  None,                         STAY, note_join),
    Row(V, ParticipantLeft,    is_older_news,                STAY, pass_over_late),
    Row(V, ParticipantLeft,    agent_leaves_transfer,        STAY, note_leaving),
    Row(V, ParticipantLeft,    hung_up,                      E,    end_party_left),
    Row(V, ParticipantLeft,    is_another_room,              STAY, note_only),
    Row(V, ParticipantLeft,    guest_hung_up,                STAY, note_leaving),
    Row(V, ParticipantLeft,    None,                         STAY, note_left_room),
    Row(V, ParticipantChanged, is_stranger,                  STAY, pass_over_unknown_call),
    Row(V, ParticipantChanged, is_older_news,                STAY, pass_over_late),
    Row(V, ParticipantChanged, None,                         STAY, note_change),
    Row(V, ConvertOverdue,     None,                         STAY, look_for_missing),
    # Twilio may be slow: as long as nobody has left the bridge, the two talk, and nobody is hung up for our sake.
    Row(V, RepairOverdue,      waits_for_a_redirect,         STAY, wait_for_redirect),
    Row(V, RepairOverdue,      is_too_soon,                  STAY, wait_for_redirect),
    Row(V, RepairOverdue,      has_moved_nobody,             B,    give_up_converting),
    Row(V, RepairOverdue,      only_customer_came,           T,    go_on_without_agent),
    Row(V, RepairOverdue,      None,                         E,    end_convert_failed),
    Row(V, AgeOverdue,         None,                         E,    end_too_old),
    Row(V, CallsRead,          is_outdated,                  STAY, look_at_calls),
    Row(V, CallsRead,          shows_both_in_room,           C,    settle_by_read),
    Row(V, CallsRead,          shows_agent_left_for_transfer, STAY, note_agent_gone_by_read),
    Row(V, CallsRead,          shows_somebody_over,          E,    end_by_read),
    Row(V, CallsRead,          is_redirecting,               STAY, look_in_a_moment),
    Row(V, CallsRead,          is_too_soon,                  STAY, look_in_a_moment),
    Row(V, CallsRead,          is_unrepaired,                STAY, redirect_missing),
    Row(V, CallsRead,          None,                         STAY, note_only),
    Row(V, EffectSucceeded,    is_redirect,                  STAY, note_redirected),
    Row(V, EffectSucceeded,    None,                         STAY, note_only),
    # Too late (21220): the child's leg is gone. Who hung up is asked for; the answer ends the session.
    Row(V, EffectFailed,       is_redirect_of_gone_call,     STAY, look_after_redirect),
    Row(V, EffectFailed,       is_first_redirect,            B,    return_to_bridge),
    Row(V, EffectFailed,       is_redirect,                  STAY, note_redirect_over),
    Row(V, EffectFailed,       None,                         STAY, note_only),
    Row(V, EffectUnknown,      is_redirect,                  STAY, look_after_redirect),
    Row(V, EffectUnknown,      None,                         STAY, note_only),
    Row(V, Always,             is_to_look_again,             STAY, look_at_calls),
    Row(V, Always,             agent_left_for_transfer,      T,    go_on_without_agent),
    Row(V, Call,               None,                         STAY, refuse_existing),
    Row(V, Convert,            None,                         STAY, join_conversion),
    Row(V, Transfer,           is_transferring_already,      STAY, refuse_second_transfer),
    Row(V, Transfer,           None,                         STAY, queue_transfer),
    Row(V, Complete,           converts_for_transfer,        STAY, complete_queued),
    Row(V, Complete,           None,                         STAY, refuse_without_transfer),
    Row(V, Cancel,             converts_for_transfer,        STAY, cancel_queued),
    Row(V, Cancel,             None,                         STAY, refuse_without_transfer),
    Row(V, Swap,               converts_for_transfer,        STAY, refuse_before_answer),
    Row(V, Swap,               None,                         STAY, refuse_without_transfer),
    Row(V, Merge,              converts_for_transfer,        STAY, refuse_before_answer),
    Row(V, Merge,              None,                         STAY, refuse_without_transfer),
    Row(V, End,                None,                         E,    end_by_command),
)
# fmt: on
