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
    Ignored(V|C|T, (CallReceived,), "the inbound call was taken before"),
    Ignored(V|C|T|E, (ConferenceFound,), "the session is known"),
    Ignored(V, (AnnouncementEnded,), "nothing is announced before both are in the conference"),
    Ignored(B|V|T, _WAITING_TIMERS, "timers of whoever waits in a conference are cancelled with it"),
    Ignored(V, (GateReached, GateDecided), "nobody is dialled by REST while it converts"),
    Ignored(B, (ConvertOverdue, RepairOverdue, LoneOverdue), "timers of a conversion are cancelled with it"),
    Ignored(B, (ConfirmOverdue, StageOverdue), "timers of a transfer are cancelled with it"),
    Ignored(V, (RingOverdue, LeaveOverdue, LoneOverdue), "timers of the bridge are cancelled before converting"),
    Ignored(V, _TRANSFER_TIMERS, "timers of a transfer are set when both are in the conference"),
    Ignored(C, (RingOverdue, ConvertOverdue, RepairOverdue), "cancelled when both had joined"),
    Ignored(C, (StageOverdue,), "cancelled when the transfer was over"),
    Ignored(T, (RingOverdue, ConvertOverdue, RepairOverdue, LoneOverdue),
            "cancelled when the transfer began"),
    Ignored(
        E,
        (CallReceived, DialEnded, ConferenceStarted, ConferenceEnded, ParticipantLeft,
         ParticipantChanged, ConferenceEventIgnored, AnnouncementEnded),
        "late: the session has ended",
    ),
    Ignored(E, (CallsRead,), "the look was asked for before the session ended"),
    Ignored(
        E,
        (RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, *_TRANSFER_TIMERS, *_WAITING_TIMERS,
         PendingCommandOverdue, AgeOverdue),
        "the end cancels every timer",
    ),
)  # fmt: skip
