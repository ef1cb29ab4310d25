"""What can happen to a session: facts from Twilio, what came of effects and timers, and operators' commands.

Everything that is decided is one of these, and each was an entry of the session's partition stream first. The wire name
stands next to its class (`name`). Facts are nouns with a past participle, commands bare imperatives.
"""

from statemachine.events.base import Always, Event
from statemachine.events.calls import CallProgressed, CallReceived, DialEnded
from statemachine.events.commands import Call, Cancel, Command, Complete, Convert, End, Merge, Swap, Transfer
from statemachine.events.conference import (
    ConferenceEnded,
    ConferenceEvent,
    ConferenceNoted,
    ConferenceStarted,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
)
from statemachine.events.gate import GateDecided, GateDecision, GateReached
from statemachine.events.outcomes import (
    CallSeen,
    CallsRead,
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    EffectUnknown,
    ParticipantSeen,
)
from statemachine.events.timers import (
    AgeOverdue,
    ConfirmOverdue,
    ConvertOverdue,
    DialOverdue,
    LeaveOverdue,
    LoneOverdue,
    RepairOverdue,
    RingOverdue,
    StageOverdue,
    TimerExpired,
)

FACTS: tuple[type[Event], ...] = (
    CallReceived, CallProgressed, DialEnded,
    ConferenceStarted, ConferenceEnded, ParticipantJoined, ParticipantLeft, ParticipantChanged, ConferenceNoted,
    GateReached, GateDecided,
)  # fmt: skip
OUTCOMES: tuple[type[Event], ...] = (EffectSucceeded, EffectFailed, EffectUnknown, CallsRead)
TIMERS: tuple[type[TimerExpired], ...] = (
    RingOverdue, LeaveOverdue, ConvertOverdue, RepairOverdue, LoneOverdue, DialOverdue, ConfirmOverdue, StageOverdue,
    AgeOverdue,
)  # fmt: skip
COMMANDS: tuple[type[Command], ...] = (Call, Convert, Transfer, Complete, Cancel, Swap, Merge, End)
#: Every event that a session can meet, in the order in which docs list them.
EVENTS: tuple[type[Event], ...] = (*FACTS, *OUTCOMES, *TIMERS, *COMMANDS)

__all__ = (
    "COMMANDS",
    "EVENTS",
    "FACTS",
    "OUTCOMES",
    "TIMERS",
    "AgeOverdue",
    "Always",
    "Call",
    "CallProgressed",
    "CallReceived",
    "CallSeen",
    "CallsRead",
    "Cancel",
    "Command",
    "Complete",
    "ConferenceEnded",
    "ConferenceEvent",
    "ConferenceNoted",
    "ConferenceStarted",
    "ConfirmOverdue",
    "Convert",
    "ConvertOverdue",
    "DialEnded",
    "DialOverdue",
    "EffectFailed",
    "EffectOutcome",
    "EffectSucceeded",
    "EffectUnknown",
    "End",
    "Event",
    "GateDecided",
    "GateDecision",
    "GateReached",
    "LeaveOverdue",
    "LoneOverdue",
    "Merge",
    "ParticipantChanged",
    "ParticipantJoined",
    "ParticipantLeft",
    "ParticipantSeen",
    "RepairOverdue",
    "RingOverdue",
    "StageOverdue",
    "Swap",
    "TimerExpired",
    "Transfer",
)
