"""Pairs of a state and an event that decide nothing, with the reason."""

from conferral.statemachine import events as on
from conferral.statemachine.table.row import B, C, E, Ignored, T, V

IGNORED: tuple[Ignored, ...] = (
    Ignored(B, (on.ParticipantLeft, on.ParticipantChanged, on.ConferenceStarted, on.ConferenceEnded,
                on.AnnouncementEnded),
            "a bridged session has no conference"),
    Ignored(B|V|C|T, (on.ConferenceEventIgnored,), "this conference event has no effect"),
    Ignored(V|C|T, (on.CallReceived,), "the inbound call is already known"),
    Ignored(V|C|T|E, (on.ConferenceFound,), "the session is known"),
    Ignored(V, (on.AnnouncementEnded,), "there are no announcements before both are in the conference"),
    Ignored(V, (on.GateReached, on.GateDecided), "no one is dialed by REST during a conversion"),
    Ignored(B, (on.ConvertOverdue, on.RepairOverdue, on.LoneOverdue, on.ConfirmOverdue, on.StageOverdue,
                on.OpeningOverdue, on.ParkOverdue), "a bridge has no timers of conferences"),
    Ignored(V, (on.RingOverdue, on.LeaveOverdue, on.LoneOverdue, on.DialOverdue, on.ConfirmOverdue, on.StageOverdue,
                on.OpeningOverdue, on.ParkOverdue), "a conversion has its own timers only"),
    Ignored(C, (on.RingOverdue, on.ConvertOverdue, on.RepairOverdue, on.StageOverdue), "canceled when it was settled"),
    Ignored(T, (on.RingOverdue, on.ConvertOverdue, on.RepairOverdue, on.LoneOverdue, on.OpeningOverdue,
                on.ParkOverdue), "canceled when the transfer began"),
    Ignored(E, (on.CallReceived, on.DialEnded, on.ConferenceStarted, on.ConferenceEnded, on.ParticipantLeft,
                on.ParticipantChanged, on.ConferenceEventIgnored, on.AnnouncementEnded),
            "arrived after the call ended, ignored"),
    Ignored(E, on.TIMERS, "the end cancels every timer"),
)  # fmt: skip
