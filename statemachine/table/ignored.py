"""Pairs of a state and an event that decide nothing, with the reason."""

from conferral.statemachine import events as on
from conferral.statemachine.table.row import B, C, E, Ignored, T, V

_TRANSFER_TIMERS = (on.DialOverdue, on.ConfirmOverdue, on.StageOverdue)
_WAITING_TIMERS = (on.OpeningOverdue, on.ParkOverdue)

IGNORED: tuple[Ignored, ...] = (
    Ignored(B, (on.ParticipantLeft, on.ParticipantChanged, on.ConferenceStarted, on.ConferenceEnded,
                on.AnnouncementEnded),
            "a bridged session has no conference"),
    Ignored(B|V|C|T, (on.ConferenceEventIgnored,), "this conference event has no effect"),
    Ignored(V|C|T, (on.CallReceived,), "the inbound call is already known"),
    Ignored(V|C|T|E, (on.ConferenceFound,), "the session is known"),
    Ignored(V, (on.AnnouncementEnded,), "there are no announcements before both are in the conference"),
    Ignored(B|V|T, _WAITING_TIMERS, "timers of a waiting party are canceled with the wait"),
    Ignored(V, (on.GateReached, on.GateDecided), "no one is dialed by REST during a conversion"),
    Ignored(B, (on.ConvertOverdue, on.RepairOverdue, on.LoneOverdue), "timers of a conversion are canceled with it"),
    Ignored(B, (on.ConfirmOverdue, on.StageOverdue), "timers of a transfer are canceled with it"),
    Ignored(V, (on.RingOverdue, on.LeaveOverdue, on.LoneOverdue), "timers of the bridge are canceled before converting"),
    Ignored(V, _TRANSFER_TIMERS, "timers of a transfer are set when both are in the conference"),
    Ignored(C, (on.RingOverdue, on.ConvertOverdue, on.RepairOverdue), "canceled when both had joined"),
    Ignored(C, (on.StageOverdue,), "canceled when the transfer was over"),
    Ignored(T, (on.RingOverdue, on.ConvertOverdue, on.RepairOverdue, on.LoneOverdue), "canceled when the transfer began"),
    Ignored(E, (on.CallReceived, on.DialEnded, on.ConferenceStarted, on.ConferenceEnded, on.ParticipantLeft,
                on.ParticipantChanged, on.ConferenceEventIgnored, on.AnnouncementEnded),
            "arrived after the call ended, ignored"),
    Ignored(E, on.TIMERS, "the end cancels every timer"),
)  # fmt: skip
