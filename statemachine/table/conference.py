"""Conference events: participants, announcements, recordings, and its end."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.table.row import LIVE, STAY, B, C, E, Row, S, T, V

PARTICIPANT = (on.ParticipantJoined, on.ParticipantChanged, on.ParticipantLeft)
#: Events that another conference of the session may send as well.
OF_ANY_CONFERENCE = (on.ConferenceStarted, on.ParticipantLeft, on.ConferenceEnded)
#: Stages of a transfer in which no one has been dialed, unless the agent left later.
BEFORE_DIAL = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER, S.PAUSING_RECORDING)

# fmt: off
CONFERENCE: tuple[Row, ...] = (
    #   in           event                                        when                                          to                 do
    Row(V|C|T,       on.ParticipantJoined,                        when.is_of_former_conference,                 STAY,              do.ignore_late),
    Row(C|T,         on.ParticipantJoined,                        when.is_of_released_party,                    STAY,              do.hang_up_arrival),
    Row(V|C|T,       on.ParticipantJoined,                        when.is_unknown_participant,                  STAY,              do.note_guest),
    Row(E,           on.ParticipantJoined,                        when.joined_before_redirected_away,           STAY,              do.log_only),
    Row(B,           on.ParticipantJoined,                        when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),
    Row(B,           on.ParticipantJoined,                        None,                                         V,                 (do.begin_recovered_conversion, do.note_join)),
    Row(E,           on.ParticipantJoined,                        when.is_of_late_guest,                        STAY,              do.end_conference_of_late_guest),
    Row(E,           on.ParticipantJoined,                        None,                                         STAY,              do.hang_up_after_end),
    Row(C|T,         (on.ParticipantChanged, on.ParticipantLeft), when.is_of_former_party,                      STAY,              do.ignore_former_party),
    Row(V|C|T,       on.ParticipantChanged,                       when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),
    Row(C|T,         on.ParticipantLeft,                          when.is_unknown_participant,                  STAY,              do.ignore_unknown_call),
    Row(V|C|T,       PARTICIPANT,                                 when.is_older_than_known,                     STAY,              do.ignore_late),

    Row(V,           on.ParticipantJoined,                        when.joins_another_conference,                STAY,              (do.leave_conference, do.note_join)),
    Row(V,           on.ParticipantJoined,                        when.is_last_to_join,                         C,                 (do.note_join, do.finish_conversion)),
    Row(C,           on.ParticipantJoined,                        when.waiting_party_joined_another_conference, STAY,              (do.await_waiting_party_rejoin, do.note_join)),
    Row(BEFORE_DIAL, on.ParticipantJoined,                        when.customer_joined_another_conference,      S.MOVING_CUSTOMER, (do.leave_conference, do.continue_alone, do.note_join)),
    Row(T,           on.ParticipantJoined,                        when.customer_waits_in_another_conference,    STAY,              (do.await_customer_rejoin, do.note_join)),
    Row(C|T,         on.ParticipantJoined,                        when.joins_another_conference,                STAY,              do.hang_up_stray_leg),
    Row(C|T,         on.ParticipantJoined,                        when.is_known_to_have_joined,                 STAY,              do.note_reported_join),
    Row(V|C|T,       on.ParticipantJoined,                        None,                                         STAY,              do.note_join),

    Row(C|T,         on.ParticipantChanged,                       when.precedes_update,                         STAY,              do.ignore_late),
    Row(V|C|T,       on.ParticipantChanged,                       None,                                         STAY,              do.note_participant_changed),

    Row(V,           on.ParticipantLeft,                          when.agent_leaves_during_conversion,          STAY,              do.note_left),
    Row(V,           on.ParticipantLeft,                          when.child_leaves_parent_outside,             STAY,              (do.note_left, do.await_parent)),
    Row(V,           on.ParticipantLeft,                          when.party_hung_up,                           E,                 (do.note_left, do.end_by_first_to_leave)),
    Row(V|C|T,       OF_ANY_CONFERENCE,                           when.is_another_conference,                   STAY,              do.log_only),

    Row(C|T,         on.ConferenceStarted,                        None,                                         STAY,              do.note_conference_started),
    Row(V,           on.ConferenceStarted,                        None,                                         STAY,              do.note_conference),

    Row(V,           on.ParticipantLeft,                          when.guest_hung_up,                           STAY,              do.note_left),
    Row(C|T,         on.ParticipantLeft,                          None,                                         STAY,              do.note_left),
    Row(V,           on.ParticipantLeft,                          None,                                         STAY,              do.note_left_conference),

    # Wait audio could not be fetched, or someone else ended the conference: the waiting party joins again.
    Row(C,           on.ConferenceEnded,                          when.waiting_party_lost_conference,           STAY,              do.await_waiting_party_rejoin),
    Row(BEFORE_DIAL, on.ConferenceEnded,                          when.agent_ended_conference,                  S.MOVING_CUSTOMER, do.continue_in_another_conference),
    Row(T,           on.ConferenceEnded,                          when.customer_lost_conference,                STAY,              do.await_customer_rejoin),
    Row(C|T,         on.ConferenceEnded,                          None,                                         E,                 do.end_conference_ended),
    Row(V,           on.ConferenceEnded,                          None,                                         STAY,              do.leave_conference),

    Row(C|T,         on.AnnouncementEnded,                        when.is_of_announcement,                      STAY,              do.note_announcement_ended),
    Row(C|T,         on.AnnouncementEnded,                        None,                                         STAY,              do.log_only),
    Row(LIVE|E,      on.RecordingChanged,                         None,                                         STAY,              do.note_recording_changed),
)
# fmt: on
