"""Conference events: who joins, leaves, or changes; the end of a conference, an announcement, a recording."""

from conferral.statemachine.events import (
    AnnouncementEnded,
    ConferenceEnded,
    ConferenceStarted,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RecordingChanged,
)
from conferral.statemachine.table import do, when
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, Row, S, T, V

#: Every event of a participant.
PARTICIPANT = (ParticipantJoined, ParticipantChanged, ParticipantLeft)
#: Events that another conference of the session may send as well.
OF_ANY_CONFERENCE = (ConferenceStarted, ParticipantLeft, ConferenceEnded)
#: Stages of a transfer in which no one has been dialed, unless the agent left later.
BEFORE_DIAL = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER, S.PAUSING_RECORDING)

# fmt: off
CONFERENCE: tuple[Row, ...] = (
    #   in           event                                  when                                          to                 do
    Row(V|C|T,       ParticipantJoined,                     when.is_of_former_conference,                 STAY,              do.ignore_late),
    Row(C|T,         ParticipantJoined,                     when.is_of_released_party,                    STAY,              do.hang_up_arrival),
    Row(V|C|T,       ParticipantJoined,                     when.is_unknown_participant,                  STAY,              do.note_guest),
    Row(E,           ParticipantJoined,                     when.joined_before_redirected_away,           STAY,              do.log_only),
    Row(B,           ParticipantJoined,                     when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),
    Row(B,           ParticipantJoined,                     None,                                         V,                 (do.begin_recovered_conversion, do.note_join)),
    Row(E,           ParticipantJoined,                     when.is_of_late_guest,                        STAY,              do.end_conference_of_late_guest),
    Row(E,           ParticipantJoined,                     None,                                         STAY,              do.hang_up_after_end),
    Row(C|T,         (ParticipantChanged, ParticipantLeft), when.is_of_former_party,                      STAY,              do.ignore_former_party),

    Row(V|C|T,       ParticipantChanged,                    when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),

    Row(C|T,         ParticipantLeft,                       when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),
    Row(V|C|T,       PARTICIPANT,                           when.is_older_than_known,                     STAY,              do.ignore_late),

    Row(V,           ParticipantJoined,                     when.joins_another_conference,                STAY,              (do.leave_conference, do.note_join)),
    Row(V,           ParticipantJoined,                     when.is_last_to_join,                         C,                 (do.note_join, do.finish_conversion)),
    Row(C,           ParticipantJoined,                     when.waiting_party_joined_another_conference, STAY,              (do.await_waiting_party_rejoin, do.note_join)),
    Row(BEFORE_DIAL, ParticipantJoined,                     when.customer_joined_another_conference,      S.MOVING_CUSTOMER, (do.leave_conference, do.continue_alone, do.note_join)),
    Row(T,           ParticipantJoined,                     when.customer_waits_in_another_conference,    STAY,              (do.await_customer_rejoin, do.note_join)),
    Row(C|T,         ParticipantJoined,                     when.joins_another_conference,                STAY,              do.hang_up_stray_leg),
    Row(C|T,         ParticipantJoined,                     when.is_known_to_have_joined,                 STAY,              do.note_reported_join),
    Row(V|C|T,       ParticipantJoined,                     None,                                         STAY,              do.note_join),

    Row(C|T,         ParticipantChanged,                    when.precedes_update,                         STAY,              do.ignore_late),
    Row(V|C|T,       ParticipantChanged,                    None,                                         STAY,              do.note_participant_changed),

    Row(V,           ParticipantLeft,                       when.agent_leaves_during_conversion,          STAY,              do.note_left),
    Row(V,           ParticipantLeft,                       when.party_hung_up,                           E,                 (do.note_left, do.end_by_first_to_leave)),
    Row(V|C|T,       OF_ANY_CONFERENCE,                     when.is_another_conference,                   STAY,              do.log_only),

    Row(C|T,         ConferenceStarted,                     None,                                         STAY,              do.note_conference_started),
    Row(V,           ConferenceStarted,                     None,                                         STAY,              do.note_conference),

    Row(V,           ParticipantLeft,                       when.guest_hung_up,                           STAY,              do.note_left),
    Row(C|T,         ParticipantLeft,                       None,                                         STAY,              do.note_left),
    Row(V,           ParticipantLeft,                       None,                                         STAY,              do.note_left_conference),

    # Wait audio could not be fetched, or someone else ended the conference: the waiting party joins again.
    Row(C,           ConferenceEnded,                       when.waiting_party_lost_conference,           STAY,              do.await_waiting_party_rejoin),
    Row(BEFORE_DIAL, ConferenceEnded,                       when.agent_ended_conference,                  S.MOVING_CUSTOMER, do.continue_in_another_conference),
    Row(T,           ConferenceEnded,                       when.customer_lost_conference,                STAY,              do.await_customer_rejoin),
    Row(C|T,         ConferenceEnded,                       None,                                         E,                 do.end_conference_ended),
    Row(V,           ConferenceEnded,                       None,                                         STAY,              do.leave_conference),

    Row(C|T,         AnnouncementEnded,                     when.is_of_announcement,                      STAY,              do.note_announcement_ended),
    Row(C|T,         AnnouncementEnded,                     None,                                         STAY,              do.log_only),

    Row(LIVE|E,      RecordingChanged,                      None,                                         STAY,              do.note_recording_changed),
)
# fmt: on
