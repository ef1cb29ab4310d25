"""Conference events: participants, announcements, recordings, and its end."""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.table.row import ANY, LIVE, STAY, B, C, E, Row, S, T, V

#: Stages of a transfer in which no one has been dialed, unless the agent left later.
BEFORE_DIAL = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER, S.PAUSING_RECORDING)
OF_KNOWN = (on.ParticipantChanged, on.ParticipantLeft)
STARTED_OR_ENDED = (on.ConferenceStarted, on.ConferenceEnded)

# fmt: off
CONFERENCE: tuple[Row, ...] = (
    #   in           phase          event                  when                                          to                 do
    # ParticipantJoined
    Row(V|C|T,       ANY,           on.ParticipantJoined,  when.is_of_former_conference,                 STAY,              do.ignore_late),
    Row(C|T,         ANY,           on.ParticipantJoined,  when.is_of_released_party,                    STAY,              do.hang_up_arrival),
    Row(V|C|T,       ANY,           on.ParticipantJoined,  when.is_of_unknown_call,                      STAY,              do.note_unknown_join),
    Row(V|C|T,       ANY,           on.ParticipantJoined,  when.is_older_than_known,                     STAY,              do.ignore_late),
    Row(V,           ANY,           on.ParticipantJoined,  when.joins_another_conference,                STAY,              (do.leave_conference, do.note_join)),
    Row(V,           ANY,           on.ParticipantJoined,  when.is_last_to_join,                         C,                 (do.note_join, do.finish_conversion)),
    Row(BEFORE_DIAL, ANY,           on.ParticipantJoined,  when.customer_joined_another_conference,      S.MOVING_CUSTOMER, (do.leave_conference, do.continue_alone, do.note_join)),
    Row(C|T,         ANY,           on.ParticipantJoined,  when.waiting_party_joined_another_conference, STAY,              (do.await_rejoin, do.note_join)),
    Row(C|T,         ANY,           on.ParticipantJoined,  when.joins_another_conference,                STAY,              do.hang_up_stray_leg),
    Row(C|T,         ANY,           on.ParticipantJoined,  when.is_known_to_have_joined,                 STAY,              do.note_reported_join),
    Row(V|C|T,       ANY,           on.ParticipantJoined,  None,                                         STAY,              do.note_join),
    # A leg in a conference is a fact, whatever the session knows.
    Row(B,           ANY,           on.ParticipantJoined,  when.is_of_unknown_call,                      STAY,              do.ignore_unknown_call),
    Row(B,           ANY,           on.ParticipantJoined,  None,                                         V,                 (do.begin_recovered_conversion, do.note_join)),
    Row(E,           ANY,           on.ParticipantJoined,  when.joined_before_redirected_away,           STAY,              do.log_only),
    Row(E,           ANY,           on.ParticipantJoined,  when.is_of_late_guest,                        STAY,              do.end_conference_of_late_guest),
    Row(E,           ANY,           on.ParticipantJoined,  None,                                         STAY,              do.hang_up_after_end),

    # ParticipantChanged: held, unheld, muted, unmuted, or coaching; ParticipantLeft
    Row(V|C|T,       ANY,           OF_KNOWN,              when.is_of_former_party,                      STAY,              do.ignore_former_party),
    Row(V|C|T,       ANY,           OF_KNOWN,              when.is_of_unknown_call,                      STAY,              do.ignore_unknown_call),
    Row(V|C|T,       ANY,           OF_KNOWN,              when.is_older_than_known,                     STAY,              do.ignore_late),
    Row(C|T,         ANY,           on.ParticipantChanged, when.precedes_update,                         STAY,              do.ignore_late),
    Row(V|C|T,       ANY,           on.ParticipantChanged, None,                                         STAY,              do.note_participant_changed),
    Row(V|C|T,       ANY,           on.ParticipantLeft,    when.leaves_another_conference,               STAY,              do.log_only),
    Row(V|C|T,       ANY,           on.ParticipantLeft,    None,                                         STAY,              do.note_left),

    # ConferenceStarted, ConferenceEnded
    Row(V|C|T,       ANY,           STARTED_OR_ENDED,      when.is_another_conference,                   STAY,              do.log_only),
    Row(V|C|T,       ANY,           on.ConferenceStarted,  None,                                         STAY,              do.note_conference_started),
    Row(V,           ANY,           on.ConferenceEnded,    None,                                         STAY,              do.leave_conference),
    Row(BEFORE_DIAL, ANY,           on.ConferenceEnded,    when.agent_ended_conference,                  S.MOVING_CUSTOMER, do.continue_in_another_conference),
    # Wait audio could not be fetched, or someone else ended the conference: the waiting party joins again.
    Row(C|T,         ANY,           on.ConferenceEnded,    when.waiting_party_lost_conference,           STAY,              do.await_rejoin),
    Row(C|T,         ANY,           on.ConferenceEnded,    None,                                         E,                 do.end_conference_ended),

    # AnnouncementEnded, RecordingChanged
    Row(C|T,         ANY,           on.AnnouncementEnded,  when.is_of_announcement,                      STAY,              do.note_announcement_ended),
    Row(C|T,         ANY,           on.AnnouncementEnded,  None,                                         STAY,              do.log_only),
    Row(LIVE|E,      ANY,           on.RecordingChanged,   None,                                         STAY,              do.note_recording_changed),
)
# fmt: on
