"""Transition table over the five states. `statemachine/rows/` holds the rows, one file per state.

Rows for one (state, event) are tried from top to bottom; the first whose guard holds is taken. A row without a guard
comes last. No target means the state stays. One row, one line. Rows of `Automatic` are tried after every event that was
applied, until none matches.

Absence: every pair (state, event) is either in `TABLE`, or in `IGNORED` with the reason why nothing happens; tests
count them. `docs/statemachine.md` and its diagram are generated from here.
"""

from conferral.statemachine.events import (
    AgeOverdue,
    AnnouncementEnded,
    Automatic,
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
from conferral.statemachine.rows.bridged import BRIDGED
from conferral.statemachine.rows.conferenced import CONFERENCED
from conferral.statemachine.rows.converting import CONVERTING
from conferral.statemachine.rows.ended import ENDED
from conferral.statemachine.rows.row import B, C, E, Ignored, Row, T, V
from conferral.statemachine.rows.transferring import TRANSFERRING
from conferral.statemachine.rows.transferring_commands import TRANSFERRING_COMMANDS
from conferral.statemachine.states import State

__all__ = ["AUTOMATIC_ROWS", "IGNORED", "TABLE", "Ignored", "Row"]

TABLE: tuple[Row, ...] = (
    *BRIDGED,
    *CONVERTING,
    *CONFERENCED,
    *TRANSFERRING,
    *TRANSFERRING_COMMANDS,
    *ENDED,
)

_TRANSFER_TIMERS = (DialOverdue, ConfirmOverdue, StageOverdue)
_WAITING_TIMERS = (OpeningOverdue, ParkOverdue)

IGNORED: tuple[Ignored, ...] = (
    Ignored((B,), (ParticipantLeft, ParticipantChanged, ConferenceStarted, ConferenceEnded, AnnouncementEnded),
            "a bridged session has no conference"),
    Ignored((B, V, C, T), (ConferenceEventIgnored,), "this conference event decides nothing"),
    Ignored((V, C, T), (CallReceived,), "the inbound call was taken before"),
    Ignored((V, C, T, E), (ConferenceFound,), "the session is known"),
    Ignored((V,), (AnnouncementEnded,), "nothing is announced before both are in the conference"),
    Ignored((B, V, T), _WAITING_TIMERS, "timers of whoever waits in a conference are cancelled with it"),
    Ignored((V,), (GateReached, GateDecided), "nobody is dialled by REST while it converts"),
    Ignored((B,), (ConvertOverdue, RepairOverdue, LoneOverdue), "timers of a conversion are cancelled with it"),
    Ignored((B,), (ConfirmOverdue, StageOverdue), "timers of a transfer are cancelled with it"),
    Ignored((V,), (RingOverdue, LeaveOverdue, LoneOverdue), "timers of the bridge are cancelled before converting"),
    Ignored((V,), _TRANSFER_TIMERS, "timers of a transfer are set when both are in the conference"),
    Ignored((C,), (RingOverdue, ConvertOverdue, RepairOverdue), "cancelled when both had joined"),
    Ignored((C,), (StageOverdue,), "cancelled when the transfer was over"),
    Ignored((T,), (RingOverdue, ConvertOverdue, RepairOverdue, LoneOverdue),
            "cancelled when the transfer began"),
    Ignored(
        (E,),
        (CallReceived, DialEnded, ConferenceStarted, ConferenceEnded, ParticipantLeft,
         ParticipantChanged, ConferenceEventIgnored, AnnouncementEnded),
        "late: the session has ended",
    ),
    Ignored((E,), (CallsRead,), "the look was asked for before the session ended"),
    Ignored(
        (E,),
        (RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, *_TRANSFER_TIMERS, *_WAITING_TIMERS,
         PendingCommandOverdue, AgeOverdue),
        "the end cancels every timer",
    ),
)  # fmt: skip

#: Rows tried after every event that a session in this state has applied; see `Automatic`.
AUTOMATIC_ROWS: dict[State, tuple[Row, ...]] = {
    state: tuple(row for row in TABLE if row.event is Automatic and row.source is state) for state in State
}
