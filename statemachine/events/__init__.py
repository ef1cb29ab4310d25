"""Events of a session: facts from Twilio, outcomes of effects, timers, and operators' commands.

Every event was first an entry of the session's partition stream. Its wire name is the class attribute `name`. Facts are
nouns with a past participle, commands are imperatives.
"""

from conferral.statemachine.events.base import Automatic, Event
from conferral.statemachine.events.calls import CallProgressed, CallReceived, ClientCallReceived, DialEnded
from conferral.statemachine.events.commands import (
    COMMANDS,
    Add,
    Announce,
    Call,
    Cancel,
    Command,
    Complete,
    Convert,
    DialCommand,
    End,
    Hold,
    Merge,
    Mute,
    Park,
    PartyCommand,
    Record,
    Remove,
    Retrieve,
    Supervise,
    Swap,
    Transfer,
    Unhold,
    Unmute,
)
from conferral.statemachine.events.conference import (
    AnnouncementEnded,
    ConferenceEnded,
    ConferenceEvent,
    ConferenceEventIgnored,
    ConferenceStarted,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RecordingChanged,
)
from conferral.statemachine.events.effect_results import (
    AccountSwept,
    CallSeen,
    CallsRead,
    ConferenceFound,
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    EffectUnknown,
    ParticipantFound,
    ParticipantSeen,
)
from conferral.statemachine.events.gate import GateDecided, GateDecision, GateReached
from conferral.statemachine.events.timers import (
    AgeOverdue,
    ConfirmOverdue,
    ConvertOverdue,
    DialOverdue,
    LeaveOverdue,
    LoneOverdue,
    OpeningOverdue,
    ParkOverdue,
    PendingCommandOverdue,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
    TimerExpired,
)

FACTS: tuple[type[Event], ...] = (
    CallReceived, ClientCallReceived, CallProgressed, DialEnded,
    ConferenceStarted, ConferenceEnded, ParticipantJoined, ParticipantLeft, ParticipantChanged, ConferenceEventIgnored,
    AnnouncementEnded, RecordingChanged, GateReached, GateDecided,
)  # fmt: skip
OUTCOMES: tuple[type[Event], ...] = (
    EffectSucceeded, EffectFailed, EffectUnknown, CallsRead, AccountSwept, ConferenceFound,
)  # fmt: skip
TIMERS: tuple[type[TimerExpired], ...] = (
    RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, DialOverdue, ConfirmOverdue, StageOverdue,
    OpeningOverdue, PendingCommandOverdue, ParkOverdue, AgeOverdue,
)  # fmt: skip
#: Every event that can reach a session, in the order of the docs.
EVENTS: tuple[type[Event], ...] = (*FACTS, *OUTCOMES, *TIMERS, *COMMANDS)
