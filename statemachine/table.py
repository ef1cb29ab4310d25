"""The transition table over the five states, and nothing else.

Rows for one (state, event) are tried from top to bottom; the first whose guard says yes is taken. A row without a guard
comes last. No target means: the state stays. One row, one line.

Absence: every pair (state, event) is either in `TABLE` or in `IGNORED` with the reason why nothing happens; tests count
them. `docs/statemachine.md` and its diagram are generated from here.
"""

from collections.abc import Callable
from typing import NamedTuple

from statemachine.actions.bridge import (
    note_agent_over,
    note_answer,
    note_answer_seen,
    note_customer_over,
    note_dial_ended,
    note_ringing,
)
from statemachine.actions.commands import refuse_ended, refuse_leaving, refuse_ringing, report_done
from statemachine.actions.converting import (
    adopt_conversion,
    adopt_moved,
    give_up_converting,
    join_conversion,
    look_after_redirect,
    look_in_a_moment,
    note_dial_end,
    note_redirect_over,
    note_redirected,
    redirect_agent,
    redirect_missing,
    return_to_bridge,
    settle,
    settle_by_read,
    wait_for_redirect,
)
from statemachine.actions.endings import (
    end_by_agent_over,
    end_by_command,
    end_by_dial,
    end_by_read,
    end_by_timeout,
    end_convert_failed,
    end_customer_left,
    end_lone,
    end_party_left,
    end_room_ended,
    end_too_old,
    let_late_leg_go,
    let_stray_leg_go,
    note_ending,
)
from statemachine.actions.looking import look_at_calls, look_for_missing, look_later
from statemachine.actions.opening import adopt_session, open_session
from statemachine.actions.passing import note_only, pass_over_late, pass_over_unknown_call
from statemachine.actions.room import (
    note_guest,
    note_join,
    note_leaving,
    note_left_room,
    note_room,
    note_room_gone,
    start_lone_grace,
)
from statemachine.events import (
    EVENTS,
    AgeOverdue,
    Call,
    CallProgressed,
    CallReceived,
    CallsRead,
    Cancel,
    Complete,
    ConferenceEnded,
    ConferenceNoted,
    ConferenceStarted,
    ConfirmOverdue,
    Convert,
    ConvertOverdue,
    DialEnded,
    DialOverdue,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    End,
    Event,
    GateDecided,
    GateReached,
    LeaveOverdue,
    LoneOverdue,
    Merge,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
    Swap,
    Transfer,
)  # fmt: skip
from statemachine.guards import (
    agent_answers,
    agent_is_over,
    agent_is_over_and_dial_ended,
    agent_rings,
    asker_is_gone,
    customer_is_over,
    customer_is_over_after_agent,
    dial_ended_before,
    dial_settles_it,
    guest_hung_up,
    has_moved_nobody,
    hung_up,
    is_another_room,
    is_bridge_and_alive,
    is_connected,
    is_ending_awaited,
    is_first_redirect,
    is_last_to_join,
    is_late_status,
    is_new,
    is_not_the_bridge,
    is_of_nobody,
    is_of_stranger,
    is_of_unknown_call,
    is_older_news,
    is_outdated,
    is_read,
    is_redirect,
    is_redirect_of_gone_call,
    is_redirecting,
    is_ringing_still,
    is_stranger,
    is_too_soon,
    is_unrepaired,
    joins_another_room,
    leaves_nobody,
    leaves_one,
    opens_by_callback,
    other_side_was_moved,
    party_is_over,
    shows_agent_answered,
    shows_agent_over,
    shows_both_in_room,
    shows_customer_over,
    shows_somebody_over,
    waits_for_a_redirect,
)  # fmt: skip
from statemachine.states import State


class Row(NamedTuple):
    """One transition."""

    source: State
    event: type[Event]
    guard: Callable[..., bool] | None
    target: State | None
    action: Callable[..., None]


class Ignored(NamedTuple):
    """Pairs in which nothing happens, and why."""

    states: tuple[State, ...]
    events: tuple[type[Event], ...]
    reason: str


B, V, C, T, E = State.BRIDGED, State.CONVERTING, State.CONFERENCED, State.TRANSFERRING, State.ENDED
# The light model's state must not change on a refused command, so those rows stay.
STAY = None

# fmt: off
TABLE: tuple[Row, ...] = (
    #   state event              guard                         target  action

    # ---- bridged: customer and agent in an ordinary <Dial>, ringing or talking.
    Row(B, CallReceived,      is_new,                       STAY, open_session),
    Row(B, CallReceived,      None,                         STAY, pass_over_late),
    Row(B, CallProgressed,    opens_by_callback,            STAY, adopt_session),
    Row(B, CallProgressed,    is_of_unknown_call,           STAY, pass_over_unknown_call),
    Row(B, CallProgressed,    is_late_status,               STAY, pass_over_late),
    Row(B, CallProgressed,    agent_rings,                  STAY, note_ringing),
    Row(B, CallProgressed,    agent_answers,                STAY, note_answer),
    # Twilio hangs up the agent's leg when the customer goes, so the agent's end alone does not tell who went first.
    Row(B, CallProgressed,    agent_is_over_and_dial_ended, E,    end_by_agent_over),
    Row(B, CallProgressed,    agent_is_over,                STAY, note_agent_over),
    Row(B, CallProgressed,    customer_is_over_after_agent, STAY, note_customer_over),
    Row(B, CallProgressed,    customer_is_over,             E,    end_customer_left),
    Row(B, CallProgressed,    None,                         STAY, note_only),
    # The action of the <Dial> is asked when it ends; its CallStatus says whether the customer is still there.
    Row(B, DialEnded,         is_not_the_bridge,            STAY, note_only),
    Row(B, DialEnded,         asker_is_gone,                E,    end_customer_left),
    Row(B, DialEnded,         other_side_was_moved,         V,    adopt_moved),
    Row(B, DialEnded,         dial_ended_before,            STAY, pass_over_late),
    Row(B, DialEnded,         dial_settles_it,              E,    end_by_dial),
    Row(B, DialEnded,         None,                         STAY, note_dial_ended),
    Row(B, ParticipantJoined, is_stranger,                  STAY, pass_over_unknown_call),
    Row(B, ParticipantJoined, None,                         V,    adopt_conversion),
    Row(B, RingOverdue,       None,                         STAY, look_at_calls),
    Row(B, LeaveOverdue,      dial_ended_before,            E,    end_by_timeout),
    Row(B, LeaveOverdue,      None,                         STAY, look_at_calls),
    Row(B, AgeOverdue,        None,                         E,    end_too_old),
    Row(B, CallsRead,         is_outdated,                  STAY, look_later),
    Row(B, CallsRead,         shows_customer_over,          E,    end_by_read),
    Row(B, CallsRead,         shows_agent_over,             E,    end_by_read),
    Row(B, CallsRead,         shows_agent_answered,         STAY, note_answer_seen),
    Row(B, CallsRead,         None,                         STAY, look_later),
    Row(B, EffectSucceeded,   None,                         STAY, note_only),
    Row(B, EffectFailed,      is_read,                      STAY, look_later),
    Row(B, EffectFailed,      None,                         STAY, note_only),
    Row(B, EffectUnknown,     is_read,                      STAY, look_later),
    Row(B, EffectUnknown,     None,                         STAY, note_only),
    Row(B, Convert,           is_ringing_still,             STAY, refuse_ringing),
    Row(B, Convert,           is_connected,                 V,    redirect_agent),
    Row(B, Convert,           None,                         STAY, refuse_leaving),
    Row(B, End,               None,                         E,    end_by_command),

    # ---- converting: both on their way into the conference; the timers repair what got lost.
    Row(V, CallProgressed,    is_of_unknown_call,           STAY, pass_over_unknown_call),
    Row(V, CallProgressed,    is_late_status,               STAY, pass_over_late),
    Row(V, CallProgressed,    party_is_over,                E,    end_party_left),
    Row(V, CallProgressed,    None,                         STAY, note_only),
    Row(V, DialEnded,         is_of_stranger,               STAY, pass_over_unknown_call),
    Row(V, DialEnded,         asker_is_gone,                E,    end_party_left),
    Row(V, DialEnded,         is_bridge_and_alive,          STAY, note_dial_end),
    Row(V, DialEnded,         None,                         STAY, note_only),
    Row(V, ConferenceStarted, is_another_room,              STAY, note_only),
    Row(V, ConferenceStarted, None,                         STAY, note_room),
    Row(V, ConferenceEnded,   is_another_room,              STAY, note_only),
    Row(V, ConferenceEnded,   None,                         STAY, note_room_gone),
    Row(V, ParticipantJoined, is_stranger,                  STAY, note_guest),
    Row(V, ParticipantJoined, is_older_news,                STAY, pass_over_late),
    Row(V, ParticipantJoined, joins_another_room,           STAY, let_stray_leg_go),
    Row(V, ParticipantJoined, is_last_to_join,              C,    settle),
    Row(V, ParticipantJoined, None,                         STAY, note_join),
    Row(V, ParticipantLeft,   is_older_news,                STAY, pass_over_late),
    Row(V, ParticipantLeft,   hung_up,                      E,    end_party_left),
    Row(V, ParticipantLeft,   is_another_room,              STAY, note_only),
    Row(V, ParticipantLeft,   guest_hung_up,                STAY, note_leaving),
    Row(V, ParticipantLeft,   None,                         STAY, note_left_room),
    Row(V, ConvertOverdue,    None,                         STAY, look_for_missing),
    # Twilio may be slow: as long as nobody has left the bridge, the two talk, and nobody is hung up for our sake.
    Row(V, RepairOverdue,     waits_for_a_redirect,         STAY, wait_for_redirect),
    Row(V, RepairOverdue,     is_too_soon,                  STAY, wait_for_redirect),
    Row(V, RepairOverdue,     has_moved_nobody,             B,    give_up_converting),
    Row(V, RepairOverdue,     None,                         E,    end_convert_failed),
    Row(V, AgeOverdue,        None,                         E,    end_too_old),
    Row(V, CallsRead,         is_outdated,                  STAY, look_at_calls),
    Row(V, CallsRead,         shows_both_in_room,           C,    settle_by_read),
    Row(V, CallsRead,         shows_somebody_over,          E,    end_by_read),
    Row(V, CallsRead,         is_redirecting,               STAY, note_only),
    Row(V, CallsRead,         is_too_soon,                  STAY, look_in_a_moment),
    Row(V, CallsRead,         is_unrepaired,                STAY, redirect_missing),
    Row(V, CallsRead,         None,                         STAY, note_only),
    Row(V, EffectSucceeded,   is_redirect,                  STAY, note_redirected),
    Row(V, EffectSucceeded,   None,                         STAY, note_only),
    # Too late (21220): the agent's leg is gone. Who hung up is asked for; the answer ends the session.
    Row(V, EffectFailed,      is_redirect_of_gone_call,     STAY, look_after_redirect),
    Row(V, EffectFailed,      is_first_redirect,            B,    return_to_bridge),
    Row(V, EffectFailed,      is_redirect,                  STAY, note_redirect_over),
    Row(V, EffectFailed,      None,                         STAY, note_only),
    Row(V, EffectUnknown,     is_redirect,                  STAY, look_after_redirect),
    Row(V, EffectUnknown,     None,                         STAY, note_only),
    Row(V, Convert,           None,                         STAY, join_conversion),
    Row(V, End,               None,                         E,    end_by_command),

    # ---- conferenced: whoever takes part is in the room; nobody is to be alone in it.
    Row(C, CallProgressed,    is_of_unknown_call,           STAY, pass_over_unknown_call),
    Row(C, CallProgressed,    is_late_status,               STAY, pass_over_late),
    Row(C, CallProgressed,    leaves_nobody,                E,    end_party_left),
    Row(C, CallProgressed,    leaves_one,                   STAY, start_lone_grace),
    Row(C, CallProgressed,    None,                         STAY, note_leaving),
    Row(C, DialEnded,         is_of_nobody,                 STAY, note_only),
    Row(C, DialEnded,         is_bridge_and_alive,          STAY, note_only),
    Row(C, DialEnded,         leaves_nobody,                E,    end_party_left),
    Row(C, DialEnded,         leaves_one,                   STAY, start_lone_grace),
    Row(C, DialEnded,         None,                         STAY, note_leaving),
    Row(C, ConferenceStarted, None,                         STAY, note_only),
    Row(C, ConferenceEnded,   is_another_room,              STAY, note_only),
    Row(C, ConferenceEnded,   None,                         E,    end_room_ended),
    Row(C, ParticipantJoined, is_stranger,                  STAY, note_guest),
    Row(C, ParticipantJoined, is_older_news,                STAY, pass_over_late),
    Row(C, ParticipantJoined, joins_another_room,           STAY, let_stray_leg_go),
    Row(C, ParticipantJoined, None,                         STAY, note_join),
    Row(C, ParticipantLeft,   is_stranger,                  STAY, pass_over_unknown_call),
    Row(C, ParticipantLeft,   is_older_news,                STAY, pass_over_late),
    Row(C, ParticipantLeft,   is_another_room,              STAY, note_only),
    Row(C, ParticipantLeft,   leaves_nobody,                E,    end_party_left),
    Row(C, ParticipantLeft,   leaves_one,                   STAY, start_lone_grace),
    Row(C, ParticipantLeft,   None,                         STAY, note_leaving),
    Row(C, LoneOverdue,       None,                         E,    end_lone),
    Row(C, AgeOverdue,        None,                         E,    end_too_old),
    Row(C, Convert,           None,                         STAY, report_done),
    Row(C, End,               None,                         E,    end_by_command),

    # ---- ended: no row leads out of here. A leg that arrives late is still let go.
    Row(E, ParticipantJoined, None,                         STAY, let_late_leg_go),
    Row(E, EffectSucceeded,   is_ending_awaited,            STAY, note_ending),
    Row(E, EffectSucceeded,   None,                         STAY, note_only),
    Row(E, EffectFailed,      is_ending_awaited,            STAY, note_ending),
    Row(E, EffectFailed,      None,                         STAY, note_only),
    Row(E, EffectUnknown,     is_ending_awaited,            STAY, note_ending),
    Row(E, EffectUnknown,     None,                         STAY, note_only),
    Row(E, Convert,           None,                         STAY, refuse_ended),
    Row(E, End,               None,                         STAY, refuse_ended),
)
# fmt: on

IGNORED: tuple[Ignored, ...] = (
    Ignored((B,), (ParticipantLeft, ConferenceStarted, ConferenceEnded), "a bridged session has no conference"),
    Ignored((B, V, C), (ConferenceNoted,), "this conference event decides nothing"),
    Ignored((V, C), (CallReceived,), "the inbound call was taken before"),
    Ignored((B,), (ConvertOverdue, RepairOverdue, LoneOverdue), "timers of a conversion are cancelled with it"),
    Ignored((V,), (RingOverdue, LeaveOverdue, LoneOverdue), "timers of the bridge are cancelled before converting"),
    Ignored((C,), (RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue), "cancelled when both had joined"),
    Ignored((C,), (CallsRead, EffectSucceeded, EffectFailed, EffectUnknown), "asked for before both had joined"),
    Ignored(
        (E,),
        (CallReceived, CallProgressed, DialEnded, ConferenceStarted, ConferenceEnded, ParticipantLeft, ConferenceNoted),
        "late: the session has ended",
    ),
    Ignored((E,), (CallsRead,), "the look was asked for before the session ended"),
    Ignored(
        (E,),
        (RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, AgeOverdue),
        "the end cancels every timer",
    ),
    Ignored((T,), EVENTS, "no command of this version leads here"),
    Ignored((B, V, C, E), (Call, Transfer, Complete, Cancel, Swap, Merge), "not carried out yet"),
    Ignored((B, V, C, E), (GateReached, GateDecided, ParticipantChanged), "not decided yet"),
    Ignored((B, V, C, E), (DialOverdue, ConfirmOverdue, StageOverdue), "not set yet"),
)
