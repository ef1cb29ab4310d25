"""Events of a session: facts, results of effects, timers, and commands.

Each was an entry of the partition's stream. Facts are nouns with a past participle, commands are imperatives.
"""

from conferral.statemachine.events.base import *
from conferral.statemachine.events.commands import *
from conferral.statemachine.events.effect_results import *
from conferral.statemachine.events.facts import *

FACTS: tuple[type[Event], ...] = (
    CallReceived, ClientCallReceived, CallProgressed, DialEnded,
    ConferenceStarted, ConferenceEnded, ParticipantJoined, ParticipantLeft, ParticipantChanged, ConferenceEventIgnored,
    AnnouncementEnded, RecordingChanged, GateReached, GateDecided,
)  # fmt: skip
EFFECT_RESULTS: tuple[type[Event], ...] = (
    EffectSucceeded, EffectFailed, EffectUnknown, CallsRead, AccountSwept, ConferenceFound, DesksLeft,
)  # fmt: skip
TIMERS: tuple[type[TimerExpired], ...] = (
    CallsOverdue, ConvertOverdue, LoneOverdue, DialOverdue, ReadOverdue, StageOverdue, PendingCommandOverdue,
    ParkOverdue, HoldOverdue, AgeOverdue,
)  # fmt: skip
#: Every event that can reach a session, in the order of the docs.
EVENTS: tuple[type[Event], ...] = (*FACTS, *EFFECT_RESULTS, *TIMERS, *COMMANDS, Offer)
