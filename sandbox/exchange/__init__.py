"""A pure model of Twilio's voice side: calls, bridges, `<Dial>` and its action, conferences, participants.

Give an `Exchange` what happened and when; it answers with what Twilio would do next. No I/O, no clock, no randomness.
"""

from conferral.sandbox.exchange.engine import Exchange, UnknownNumberError
from conferral.sandbox.exchange.hearing import Heard, Hearing, Interval, heard_by
from conferral.sandbox.exchange.inputs import (
    InboundCall,
    Input,
    OddCallback,
    Params,
    PhoneAnswers,
    PhoneBusy,
    PhoneFails,
    PhoneFallsSilent,
    PhoneHangsUp,
    PhonePresses,
    PhoneRejects,
    PhoneRings,
    PhoneSpeaks,
    RestRequest,
    TimePassed,
    TwimlFailed,
    TwimlFetched,
)
from conferral.sandbox.exchange.model import (
    FINAL,
    Call,
    Conference,
    Number,
    Participant,
    RecordedSpan,
    Recording,
    State,
)
from conferral.sandbox.exchange.odd import NobodyToTellError
from conferral.sandbox.exchange.outputs import (
    AskForKeys,
    CallbackRequest,
    DebuggerEntry,
    FetchRequest,
    Output,
    ReleasePhone,
    RestAnswer,
    Result,
    RingPhone,
)
from conferral.sandbox.exchange.rules import Rules

__all__ = [
    "FINAL",
    "AskForKeys",
    "Call",
    "CallbackRequest",
    "Conference",
    "DebuggerEntry",
    "Exchange",
    "FetchRequest",
    "Heard",
    "Hearing",
    "InboundCall",
    "Input",
    "Interval",
    "NobodyToTellError",
    "Number",
    "OddCallback",
    "Output",
    "Params",
    "Participant",
    "PhoneAnswers",
    "PhoneBusy",
    "PhoneFails",
    "PhoneFallsSilent",
    "PhoneHangsUp",
    "PhonePresses",
    "PhoneRejects",
    "PhoneRings",
    "PhoneSpeaks",
    "RecordedSpan",
    "Recording",
    "ReleasePhone",
    "RestAnswer",
    "RestRequest",
    "Result",
    "RingPhone",
    "Rules",
    "State",
    "TimePassed",
    "TwimlFailed",
    "TwimlFetched",
    "UnknownNumberError",
    "heard_by",
]
