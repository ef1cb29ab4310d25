"""A pure model of Twilio Voice: calls, bridges, `<Dial>` and its action, conferences, participants.

Give a `TwilioModel` an input and its time; it returns what Twilio would do next. No I/O, clock, or randomness.
"""

from conferral.sandbox.model.audibility import Audibility, Sound, SoundInterval, sound_heard_by
from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.inputs import (
    InboundCall,
    Input,
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
    UnknownCallback,
)
from conferral.sandbox.model.outputs import (
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
from conferral.sandbox.model.state import (
    FINAL,
    Call,
    Conference,
    Number,
    Participant,
    RecordedSpan,
    Recording,
    State,
)
from conferral.sandbox.model.twilio_model import TwilioModel, UnknownNumberError
from conferral.sandbox.model.unknown_callbacks import NoSubscriberError

__all__ = [
    "FINAL",
    "AskForKeys",
    "Audibility",
    "Behavior",
    "Call",
    "CallbackRequest",
    "Conference",
    "DebuggerEntry",
    "FetchRequest",
    "InboundCall",
    "Input",
    "NoSubscriberError",
    "Number",
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
    "Sound",
    "SoundInterval",
    "State",
    "TimePassed",
    "TwilioModel",
    "TwimlFailed",
    "TwimlFetched",
    "UnknownCallback",
    "UnknownNumberError",
    "sound_heard_by",
]
