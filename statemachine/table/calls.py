"""Call events: status callbacks, the action of a `<Dial>`, and our gate."""

from conferral.statemachine.events import (
    CallProgressed,
    CallReceived,
    ClientCallReceived,
    DialEnded,
    GateDecided,
    GateReached,
)
from conferral.statemachine.table import do, when
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, O, Row, T, V

#: A party at the gate.
AT_GATE = (GateReached, GateDecided)

# fmt: off
CALLS: tuple[Row, ...] = (
    #   in          event                          when                                 to          do
    Row(B,          CallReceived,                  when.opens_conference,               O.ARRIVING, do.open_conference),
    Row(B,          CallReceived,                  when.opens_session,                  STAY,       do.open_session),
    Row(B,          CallReceived,                  None,                                STAY,       do.ignore_late),

    Row(B,          ClientCallReceived,            when.opens_session,                  O.ARRIVING, do.open_client_call),
    Row(LIVE|E,     ClientCallReceived,            when.is_of_second_call,              STAY,       do.hang_up_second_call),
    Row(LIVE|E,     ClientCallReceived,            None,                                STAY,       do.ignore_late),

    Row(B,          CallProgressed,                when.opens_session_by_callback,      STAY,       do.rebuild_session),
    Row(LIVE,       CallProgressed,                when.is_of_former_call,              STAY,       do.ignore_late),
    Row(O.ARRIVING, CallProgressed,                when.is_actually_bridged,            B,          do.treat_as_bridge),
    Row(E,          CallProgressed,                when.is_own_live_leg,                STAY,       do.hang_up_after_end),

    Row(V|T,        DialEnded,                     when.is_of_unknown_party,            STAY,       do.ignore_unknown_call),
    # Twilio requests the action of a <Dial> when it ends; CallStatus shows whether the parent is still up.
    Row(B,          DialEnded,                     when.is_other_dial,                  STAY,       do.log_only),
    Row(B,          DialEnded,                     when.dialing_party_is_gone,          E,          do.end_parent_left),
    Row(B,          DialEnded,                     when.other_side_was_moved,           V,          (do.begin_recovered_conversion, do.note_parent_dial_ended)),
    Row(B,          (CallProgressed, DialEnded),   when.is_of_earlier_agent,            STAY,       do.ignore_late),

    Row(B,          CallProgressed,                when.is_of_later_agent,              STAY,       do.follow_later_agent),

    Row(B,          DialEnded,                     when.agent_is_redialed,              STAY,       do.redial_agent),
    Row(B,          DialEnded,                     when.next_agent_is_dialed,           STAY,       do.try_next_agent),
    Row(B,          DialEnded,                     when.dial_has_ended,                 STAY,       do.ignore_late),
    Row(B,          DialEnded,                     when.dial_result_is_final,           E,          do.end_by_dial),
    Row(C,          DialEnded,                     when.waiting_party_left_conference,  STAY,       do.note_left),
    Row(C,          DialEnded,                     when.is_of_absent_party,             STAY,       do.log_only),
    Row(C,          DialEnded,                     when.is_bridge_of_live_party,        STAY,       do.log_only),
    Row(C,          DialEnded,                     when.customer_left_for_after_url,    STAY,       do.note_redirected_away),
    Row(B,          DialEnded,                     None,                                STAY,       do.note_dial_ended),

    # The agent of an outbound session reaches the gate first.
    Row(B|C|T,      GateReached,                   when.is_of_current_dial,             STAY,       do.note_gate_reached),
    Row(C|T,        (CallProgressed, GateReached), when.is_of_abandoned_dial,           STAY,       do.hang_up_late_dial),

    Row(LIVE,       CallProgressed,                when.is_of_unknown_call,             STAY,       do.ignore_unknown_call),
    Row(LIVE,       CallProgressed,                when.is_late_status,                 STAY,       do.ignore_late),
    # An agent who leaves while a transfer is prepared has handed over: it continues as a blind transfer.
    Row(V,          (CallProgressed, DialEnded),   when.agent_leaves_during_conversion, STAY,       do.note_left),
    Row(B,          CallProgressed,                when.parent_rings_or_answers,        STAY,       do.note_call_progress),
    Row(B,          CallProgressed,                when.child_rings,                    STAY,       do.note_child_ringing),
    Row(B,          CallProgressed,                when.child_answers,                  STAY,       do.note_answer),
    # Twilio hangs up the child when the parent leaves, so the child's end alone does not show who left first.
    Row(B,          CallProgressed,                when.child_ended_after_dial,         E,          do.end_by_unreached_child),
    Row(B,          CallProgressed,                when.child_ended,                    STAY,       do.note_child_ended),
    Row(B,          CallProgressed,                when.parent_ended_after_child,       STAY,       do.note_parent_ended),
    Row(B,          CallProgressed,                when.parent_ended,                   E,          do.end_parent_left),
    Row(V,          CallProgressed,                when.party_ended,                    E,          (do.note_left, do.end_by_first_to_leave)),
    Row(C|T,        CallProgressed,                None,                                STAY,       do.note_call_progress),
    Row(B|V,        CallProgressed,                None,                                STAY,       do.log_only),

    Row(V,          DialEnded,                     when.dialing_party_is_gone,          E,          (do.note_left, do.end_by_first_to_leave)),
    Row(V|T,        DialEnded,                     when.is_bridge_of_live_party,        STAY,       do.note_parent_dial_ended),
    Row(V,          DialEnded,                     None,                                STAY,       do.log_only),
    Row(C|T,        DialEnded,                     None,                                STAY,       do.note_left),
    Row(E,          AT_GATE,                       when.is_live_leg_at_gate,            STAY,       do.hang_up_after_end),
    Row(E,          (*AT_GATE, CallProgressed),    None,                                STAY,       do.ignore_late),

    Row(C|T,        GateDecided,                   when.gate_accepted_call,             STAY,       do.note_gate_accepted),
    Row(C|T,        GateDecided,                   when.is_of_current_dial,             STAY,       do.note_gate_rejected),
    Row(B,          GateDecided,                   when.gate_accepted_call,             STAY,       do.note_agent_accepted),
    Row(B,          GateDecided,                   when.is_of_current_dial,             E,          do.end_gate_rejected),
    Row(B|C|T,      AT_GATE,                       None,                                STAY,       do.log_only),
)
# fmt: on
