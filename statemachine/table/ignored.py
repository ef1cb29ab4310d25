"""Pairs of a state and an event that decide nothing, with the reason. The log names it."""

from conferral.statemachine.events import (
    AgeOverdue,
    AnnouncementEnded,
    CallReceived,
    CallsRead,
    ConferenceEnded,
    ConferenceEventIgnored,
    ConferenceFound,
    ConferenceStarted,
    ConfirmOverdue,
    ConvertOverdue,
    DialEnded,
    DialOverdue,
    GateDecided,
    GateReached,
    LeaveOverdue,
    LoneOverdue,
    OpeningOverdue,
    ParkOverdue,
    ParticipantChanged,
    ParticipantLeft,
    PendingCommandOverdue,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
)
from conferral.statemachine.table.row import B, C, E, Ignored, T, V

_TRANSFER_TIMERS = (DialOverdue, ConfirmOverdue, StageOverdue)
_WAITING_TIMERS = (OpeningOverdue, ParkOverdue)

IGNORED: tuple[Ignored, ...] = (
    Ignored(B, (ParticipantLeft, ParticipantChanged, ConferenceStarted, ConferenceEnded, AnnouncementEnded),
            "a bridged session has no conference"),
    Ignored(B|V|C|T, (ConferenceEventIgnored,), "this conference event decides nothing"),
    Ignored(V|C|T, (CallReceived,), "the inbound call is already known"),
    Ignored(V|C|T|E, (ConferenceFound,), "the session is known"),
    Ignored(V, (AnnouncementEnded,), "there are no announcements before both are in the conference"),
    Ignored(B|V|T, _WAITING_TIMERS, "timers of a waiting party are canceled with the wait"),
    Ignored(V, (GateReached, GateDecided), "no one is dialed by REST during a conversion"),
    Ignored(B, (ConvertOverdue, RepairOverdue, LoneOverdue), "timers of a conversion are canceled with it"),
    Ignored(B, (ConfirmOverdue, StageOverdue), "timers of a transfer are canceled with it"),
    Ignored(V, (RingOverdue, LeaveOverdue, LoneOverdue), "timers of the bridge are canceled before converting"),
    Ignored(V, _TRANSFER_TIMERS, "timers of a transfer are set when both are in the conference"),
    Ignored(C, (RingOverdue, ConvertOverdue, RepairOverdue), "canceled when both had joined"),
    Ignored(C, (StageOverdue,), "canceled when the transfer was over"),
    Ignored(T, (RingOverdue, ConvertOverdue, RepairOverdue, LoneOverdue),
            "canceled when the transfer began"),
    Ignored(
        E,
        (CallReceived, DialEnded, ConferenceStarted, ConferenceEnded, ParticipantLeft,
         ParticipantChanged, ConferenceEventIgnored, AnnouncementEnded),
        "arrived after the call ended, ignored",
    ),
    Ignored(E, (CallsRead,), "requested before the session ended"),
    Ignored(
        E,
        (RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, *_TRANSFER_TIMERS, *_WAITING_TIMERS,
         PendingCommandOverdue, AgeOverdue),
        "the end cancels every timer",
    ),
)  # fmt: skip
