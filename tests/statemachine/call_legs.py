"""The calls of a story, and effects in a few words."""

from dataclasses import dataclass
from typing import Any

from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Dial,
    Effect,
    EndConference,
    FindCall,
    FindMessage,
    FindRecording,
    HangUpCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    RedirectToVoicemail,
    SayAndHangUp,
    StartRecording,
    UpdateParticipant,
)

CUSTOMER_CALL = "CA" + "c" * 32
AGENT_CALL = "CA" + "a" * 32
GUEST_CALL = "CA" + "7" * 32
CONFERENCE = "CF" + "f" * 32
OTHER_CONFERENCE = "CF" + "e" * 32


@dataclass
class Leg:
    """One call as Twilio has it. A party who is dialed once more has another leg."""

    call_sid: str
    party: str
    label: str
    #: Id of the dial that made it; empty where it came in or was dialed by TwiML.
    dial: str = ""
    is_gated: bool = False
    #: What Twilio has done: reported by the callbacks that the scenario delivers.
    held: bool = False
    end_on_exit: bool = False
    muted: bool = False
    #: SID of the call that this one coaches.
    coaches: str = ""
    #: Whether callbacks leave that out, as Twilio may: then only a read shows it.
    hides_coaching: bool = False
    in_conference: bool = False
    #: Whether a read shows it on the way into the conference.
    is_ringing: bool = False
    is_over: bool = False
    #: StartConferenceOnEnter.
    starts: bool = True


class Legs(dict[str, Leg]):
    """Legs by the name under which they were dialed; the one before of the same name is `former NAME`, and so on."""

    def __init__(self) -> None:
        super().__init__(
            customer=Leg(CUSTOMER_CALL, "customer", "customer-1"),
            agent=Leg(AGENT_CALL, "agent", "agent-1"),
            guest=Leg(GUEST_CALL, "", "guest"),
        )
        self._dials = 0

    def dial(self, effect: Dial, label: str) -> None:
        """Someone is dialed, and has a call of their own from here on."""
        self._dials += 1
        self._keep_former(effect.party)
        call_sid = f"CA{self._dials:032x}"
        gated = isinstance(effect, CreateCall)
        self[effect.party] = Leg(call_sid, effect.party, label, dial=effect.effect_id, is_gated=gated)

    def _keep_former(self, name: str) -> None:
        if name in self:
            self._keep_former(f"former {name}")
            self[f"former {name}"] = self[name]


_FLAGS = {"set-end-on-exit": "flag", "clear-end-on-exit": "unflag"}


def words(effect: Effect) -> str:
    """An effect in a few words: `hold customer`, `dial target`."""
    match effect:
        case UpdateParticipant():
            return f"{_FLAGS.get(effect.update, effect.update)} {effect.party}"
        case PlayAnnouncement():
            return f"play to {effect.party or 'all'}"
        case ChangeRecording():
            return f"{effect.status} recording"
        case CreateParticipant():
            return f"dial {effect.party}"
        case CreateCall():
            return f"dial {effect.party} to the gate"
    verbs: dict[type[Effect], str] = {
        RedirectCall: "move", FindCall: "find", HangUpCall: "hang up", SayAndHangUp: "say goodbye to",
        RedirectToUrl: "send away", StartRecording: "record", RedirectToVoicemail: "move to voicemail:",
        FindMessage: "find message of",
    }  # fmt: skip
    fixed: dict[type[Effect], str] = {EndConference: "end room", ReadCalls: "look", FindRecording: "find recording"}
    return fixed.get(type(effect)) or f"{verbs[type(effect)]} {effect.party or 'a call'}"


def flags_of(leg: Leg) -> dict[str, Any]:
    """How the leg is, as a callback says it."""
    coaches = "" if leg.hides_coaching else leg.coaches
    return {"held": leg.held, "muted": leg.muted, "end_on_exit": leg.end_on_exit, "coaches": coaches}


def apply(effect: UpdateParticipant, leg: Leg) -> None:
    """The leg is as Twilio was asked to make it."""
    match effect.update:
        case "hold" | "unhold":
            leg.held = effect.update == "hold"
        case "set-end-on-exit" | "clear-end-on-exit":
            if not leg.held:
                leg.end_on_exit = effect.update == "set-end-on-exit"
        case "mute" | "unmute":
            leg.muted = effect.update == "mute"
        case _:
            leg.muted = effect.update == "monitor"
            leg.coaches = effect.coaches
