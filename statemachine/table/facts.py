"""Facts: what callbacks, the actions of `<Dial>`, and our gate report."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.table.row import *

GATE = (on.GateReached, on.GateDecided)
OF_DIALED_CALLS = (on.CallProgressed, *GATE)
#: Stages of a transfer before the dial, and again if the agent leaves while the target rings.
PREPARING = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER)

# fmt: off
CALLS: tuple[Row, ...] = (
    # Row by row: in, phase, event, when, to, do
    # CallReceived: an inbound call requests its first TwiML
    Row(B,          ANY, on.CallReceived,       when.turns_caller_away,           E,                 (do.open_session, do.end_turned_away)),
    Row(B,          ANY, on.CallReceived,       when.opens_conference,            O.ARRIVING,        do.open_session),
    Row(B,          ANY, on.CallReceived,       when.opens_session,               STAY,              do.open_session),

    # ClientCallReceived: a browser, app, or SIP phone does
    Row(B,          ANY, on.ClientCallReceived, when.opens_session,               O.ARRIVING,        do.open_client_call),
    Row(LIVE|E,     ANY, on.ClientCallReceived, when.is_of_unknown_call,          STAY,              do.hang_up_second_call),

    # CallProgressed: a call rings, is answered, or is over
    Row(B,          ANY, on.CallProgressed,     when.opens_session,               STAY,              do.rebuild_session),
    Row(V|C|T,      ANY, on.CallProgressed,     when.is_of_lost_dial,             STAY,              do.add_leg_of_lost_dial),
    Row(O.ARRIVING, ANY, on.CallProgressed,     when.is_actually_bridged,         B,                 do.treat_as_bridge),
    Row(B,          ANY, on.CallProgressed,     when.is_of_later_agent,           STAY,              do.follow_later_agent),
    Row(C|T,        ANY, on.CallProgressed,     when.is_of_abandoned_dial,        STAY,              do.hang_up_late_dial),
    # An answer may say late that the party has a desk.
    Row(LIVE,       ANY, on.CallProgressed,     when.is_late_status,              STAY,              do.note_desk),
    Row(LIVE,       ANY, on.CallProgressed,     None,                             STAY,              do.note_call_progress),

    # DialEnded: Twilio requests the action of a <Dial> when it ends; CallStatus shows whether the parent is still up
    Row(B,          ANY, on.DialEnded,          when.agent_is_redialed,           STAY,              do.redial_agent),
    Row(B,          ANY, on.DialEnded,          when.next_agent_is_dialed,        STAY,
        (do.note_next_agents, do.try_next_agent)),
    Row(B,          ANY, on.DialEnded,          when.bridge_falls_back,           S.MOVING_CUSTOMER,
        (do.note_next_agents, do.begin_inbound_fallback)),
    Row(B,          ANY, on.DialEnded,          when.bridge_lost_agent,           S.MOVING_CUSTOMER, do.recall_lost_agent),
    Row(B,          ANY, on.DialEnded,          None,                             STAY,
        (do.note_next_agents, do.note_dial_ended)),
    Row(V|C|T,      ANY, on.DialEnded,          when.is_bridge_of_live_party,     STAY,              do.note_parent_dial_ended),
    Row(C,          ANY, on.DialEnded,          when.customer_left_for_after_url, STAY,              do.note_redirected_away),
    Row(V|C|T,      ANY, on.DialEnded,          None,                             STAY,              do.note_left),

    # GateReached: a dialed party answered; without a gate, it joins immediately
    Row(B|C|T,      ANY, on.GateReached,        when.party_of_dial,               STAY,              do.note_gate_reached),
    Row(V|C|T,      ANY, on.GateReached,        when.is_of_lost_dial,             STAY,              do.add_leg_of_lost_dial),
    Row(C|T,        ANY, on.GateReached,        when.is_of_abandoned_dial,        STAY,              do.hang_up_late_dial),

    # GateDecided: the gate accepted or rejected the party
    Row(B,          ANY, on.GateDecided,        when.decides_bridge,              STAY,              do.note_bridge_decision),
    Row(B|C|T,      ANY, on.GateDecided,        when.gate_accepted_call,          STAY,              do.note_gate_accepted),
    Row(B|C|T,      ANY, on.GateDecided,        when.party_of_dial,               STAY,              do.note_gate_rejected),
    Row(LIVE,       ANY, GATE,                  None,                             STAY,              do.log_only),

    # After the end, no call that the session dialed may go on
    Row(E,          ANY, OF_DIALED_CALLS,       when.shows_live_leg,              STAY,              do.hang_up_after_end),
)

#: The conference: its participants, announcements, recordings, and end.
CONFERENCE: tuple[Row, ...] = (
    # Row by row: in, phase, event, when, to, do
    # ParticipantJoined
    Row(C|T,       ANY,     on.ParticipantJoined, when.is_no_longer_expected,                   STAY,              do.hang_up_arrival),
    Row(V|C|T,     ANY,     on.ParticipantJoined, when.is_of_unknown_call,                      STAY,              do.note_unknown_join),
    Row(V,         ANY,     on.ParticipantJoined, when.joins_another_conference,                STAY,
        (do.forget_conference, do.note_join)),
    Row(PREPARING, ANY,     on.ParticipantJoined, when.customer_joined_another_conference,      S.MOVING_CUSTOMER,
        (do.forget_conference, do.continue_alone, do.note_join)),
    Row(C|T,       ANY,     on.ParticipantJoined, when.waiting_party_joined_another_conference, STAY,
        (do.await_in_another_conference, do.note_join)),
    Row(C|T,       ANY,     on.ParticipantJoined, when.precedes_repair,                         STAY,              do.ignore_late),
    Row(C|T,       ANY,     on.ParticipantJoined, when.joins_another_conference,                STAY,              do.hang_up_stray_leg),
    Row(V|C|T,     ANY,     on.ParticipantJoined, None,                                         STAY,              do.note_join),
    Row(B,         ANY,     on.ParticipantJoined, None,                                         STAY,              do.note_join),
    Row(E,         ANY,     on.ParticipantJoined, when.is_of_late_guest,                        STAY,
        do.end_conference_of_late_guest),
    Row(E,         ANY,     on.ParticipantJoined, None,                                         STAY,              do.hang_up_after_end),

    # ParticipantChanged: held, unheld, muted, unmuted, or coaching; ParticipantLeft
    Row(V|C|T, ANY, on.ParticipantChanged, None, STAY, do.note_participant_changed),
    Row(V|C|T, ANY, on.ParticipantLeft,    None, STAY, (do.note_conference, do.note_left)),

    # ConferenceStarted, ConferenceEnded
    Row(V|C|T,     ANY,       on.ConferenceEnded,   when.is_another_conference,         STAY,              do.note_former_conference),
    Row(T,         VOICEMAIL, on.ConferenceEnded,   None,                               STAY,              do.forget_conference),
    Row(V|C|T,     ANY,       on.ConferenceStarted, None,                               STAY,              do.note_conference_started),
    Row(V,         ANY,       on.ConferenceEnded,   None,                               STAY,              do.forget_conference),
    Row(PREPARING, ANY,       on.ConferenceEnded,   when.agent_ended_conference,        S.MOVING_CUSTOMER,
        do.continue_in_another_conference),
    # Wait audio could not be fetched, or someone else ended the conference: the waiting party joins again.
    Row(C|T,       ANY,       on.ConferenceEnded,   when.waiting_party_lost_conference, STAY,              do.await_in_another_conference),
    Row(C|T,       ANY,       on.ConferenceEnded,   None,                               E,                 do.end_conference_ended),

    # AnnouncementEnded, RecordingChanged
    Row(C|T,    ANY, on.AnnouncementEnded, when.is_of_announcement, STAY, do.note_announcement_ended),
    Row(V|C|T,  ANY, on.AnnouncementEnded, None,                    STAY, do.log_only),
    Row(LIVE|E, ANY, on.RecordingChanged,  when.is_of_voicemail,    STAY, do.note_message),
    Row(LIVE|E, ANY, on.RecordingChanged,  None,                    STAY, do.note_recording_changed),
)
# fmt: on
