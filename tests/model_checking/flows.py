"""The casts: who calls whom, what an operator may command, how phones may be answered, and where it begins."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from conferral.statemachine.events import (
    Add,
    Announce,
    Call,
    Cancel,
    Command,
    Complete,
    Convert,
    End,
    Hold,
    Merge,
    Mute,
    Offer,
    Park,
    Press,
    Record,
    Remove,
    Retrieve,
    Supervise,
    Swap,
    Transfer,
    Unhold,
    Unmute,
)
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import AGENT as AGENT_PARTY
from conferral.statemachine.session import CUSTOMER as CUSTOMER_PARTY
from offhook.model.behavior import Behavior
from tests.support.people import AGENT, CAROL, CHIEF, CUSTOMER, LAWYER, TARGET

Making = Callable[[str, str], Command]
"""Makes a command, given the session's id and the command's."""

#: Few recalls; everything else as it is by default, since time costs nothing here. Park for a short while. Only flows
#: about the limit of a hold have one: with it, places differ by how long a hold has lasted.
POLICY = Policy(recalls_max=1, park_timeout_ms=60_000, hold_limit_ms=0)
LIMITED = replace(POLICY, hold_limit_ms=20_000)
#: Music plays for longer than any run: what it is asked for again does not change who hears whom.
BEHAVIOR = Behavior(play_s=100_000.0, say_s_per_character=0.02)
#: Music ends, so that a caller whom no list shows is noticed when it is asked for again.
MUSIC_ENDS = replace(BEHAVIOR, play_s=12.0)


def command(kind: type[Command], **given: Any) -> Making:
    """A command with these fields."""

    def make(session_id: str, command_id: str) -> Command:
        return kind(session_id=session_id, token=command_id, **given)

    return make


@dataclass(frozen=True, slots=True)
class Flow:
    """What is explored."""

    name: str
    #: What it is about, in a few words.
    about: str
    #: Who begins: `inbound`, `conference` (a caller who waits in one), `client` (a browser), or a command `call`.
    begins: str = "inbound"
    #: Whether the caller's call has opened a session before.
    comes_back: bool = False
    #: Whether others wait in the queue, so that a caller begins there.
    others_wait: bool = False
    #: The first command of an outbound call.
    call: Making | None = None
    #: What has happened before the exploration begins, in order and without any fault: acts of people at phones as
    #: `answer ADDRESS`, or the name of a command of `commands`.
    before: tuple[str, ...] = ()
    #: The commands that may be given, by name, each once.
    commands: Mapping[str, Making] = field(default_factory=dict)
    #: Which of them is given as the exploration begins.
    first: str = ""
    #: What people may do with phones that ring, by address: `answer`, `reject`, `busy`, `fail`.
    phones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: What is pressed where a key is asked for.
    keys: tuple[str, ...] = ("1", "2")
    #: The agents to be tried, in their order, where the directory names several.
    agents: tuple[str, ...] = ()
    #: The agents with a desk: a leg that they lose is rung again.
    desks: tuple[str, ...] = ()
    #: Whose call another program may move by REST, by address; counts as a hang-up.
    moved: tuple[str, ...] = ()
    #: The callback of a conference's start comes before those of who has started it.
    start_first: bool = False
    policy: Policy = POLICY
    behavior: Behavior = BEHAVIOR
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def voice_path(self) -> str:
        """The path of the number that is called."""
        return {"conference": "/voice/conference", "client": "/voice/client"}.get(self.begins, "/voice/inbound")


BROWSER = "client:desk"
BOTH_TALK = (f"answer {AGENT}",)
_ANSWERS = ("answer", "reject")

_CONVERSION = {"convert": command(Convert)}
_END = {"end": command(End)}
_IN_CONFERENCE = (*BOTH_TALK, "convert")


def _transfer(name: str, mode: str, **given: Any) -> dict[str, Making]:
    return {name: command(Transfer, mode=mode, **{"to": (TARGET,), **given})}


def _flow(name: str, about: str, begun: str, first: str, commands: Mapping[str, Making], **given: Any) -> Flow:
    """A flow that begins with a command, when two talk: `bridged`, or in a conference (`room`)."""
    before = _IN_CONFERENCE if begun == "room" else BOTH_TALK
    all_commands = {**commands, **_CONVERSION, **_END}
    return Flow(name, about, before=(*before, *given.pop("then", ())), first=first, commands=all_commands, **given)


_WARM, _CONSULT, _BLIND = _transfer("warm", "warm"), _transfer("consult", "consult"), _transfer("blind", "blind")
_STEPS = {"complete": command(Complete), "cancel": command(Cancel)}
_CONSULTING = {**_CONSULT, **_STEPS, "swap": command(Swap), "merge": command(Merge)}
_PARK = {"park": command(Park), "retrieve": command(Retrieve, to=CAROL)}
_WITH_QUEUE = {"CONFERRAL_AGENT": BROWSER, "CONFERRAL_INBOUND_FALLBACK": "queue,voicemail"}
#: Offers as the task `queue` sends them: it may repeat one.
_QUEUE = {
    "offer": command(Offer, to=BROWSER, number=1), "again": command(Offer, to=BROWSER, number=1),
    "next": command(Offer, to=BROWSER, number=2), "retrieve": command(Retrieve, to=CAROL), **_END,
}  # fmt: skip
_QUEUE_AFTER_RING = {"offer": command(Offer, to=BROWSER, number=2), **_END}
_TARGET_MAY = {TARGET: _ANSWERS}
_AGENT_MAY = {AGENT: _ANSWERS}
_REMOVE = {"remove agent": command(Remove, party=AGENT_PARTY)}
_AGENT_TOO = {TARGET: _ANSWERS, AGENT: _ANSWERS}
_OF_PARTIES = {
    f"{kind.name} {party}": command(kind, party=party)
    for kind in (Hold, Unhold, Mute, Unmute)
    for party in (CUSTOMER_PARTY, AGENT_PARTY)
}
_HELD = {name: make for name, make in _OF_PARTIES.items() if "mute" not in name}
_SUPERVISE = {mode: command(Supervise, to=CHIEF, mode=mode) for mode in ("monitor", "whisper", "barge")}
_PRESS = {f"press {party}": command(Press, party=party, digits="") for party in (CUSTOMER_PARTY, AGENT_PARTY)}
_RECORD = {f"record {action}": command(Record, action=action) for action in ("start", "pause", "resume", "stop")}
_ADD_MUTED = {
    "add muted": command(Add, to=LAWYER, party="lawyer", muted=True),
    "unmute": command(Unmute, party="lawyer"),
}
_ADD = {"add": command(Add, to=LAWYER, party="lawyer"), "remove": command(Remove, party="lawyer")}

ALL: tuple[Flow, ...] = (
    Flow("inbound", "a call that is bridged, from its first ring", phones={AGENT: _ANSWERS},
         commands={**_CONVERSION, **_END}),
    Flow("next-agent", "two agents are to be tried, one after the other", phones={AGENT: _ANSWERS, CAROL: _ANSWERS},
         commands={**_CONVERSION, **_END}, agents=(AGENT, CAROL)),
    _flow("convert", "two who talk over a bridge are moved", "bridged", "convert", {}),
    Flow("moved", "another program moves the customer of a bridge", before=BOTH_TALK, commands=_CONVERSION,
         moved=(CUSTOMER,)),
    Flow("moved-agent", "another program moves the agent of a bridge", before=BOTH_TALK, moved=(AGENT,)),
    Flow("call-moved", "another program moves one of two in an outbound call",
         call=command(Call, agent=AGENT, customer=CUSTOMER), before=(f"answer {AGENT}", f"answer {CUSTOMER}"),
         moved=(CUSTOMER, AGENT)),
    _flow("warm", "a warm transfer of a bridged call", "bridged", "warm", {**_WARM, **_STEPS}, phones=_TARGET_MAY),
    _flow("warm-room", "a warm transfer in a conference", "room", "warm", {**_WARM, **_STEPS}, phones=_TARGET_MAY),
    _flow("consult", "a consult that begins in a conference", "room", "consult", _CONSULTING, phones=_TARGET_MAY),
    Flow("consult-early", "a consult that begins just after the end of a hold",
         before=(*_IN_CONFERENCE, "hold customer"), first="unhold customer",
         commands={**_HELD, **_CONVERSION, **_CONSULT}, phones={TARGET: ("answer",)}),
    _flow("consult-bridged", "a consult of a bridged call", "bridged", "consult", _CONSULTING, phones=_TARGET_MAY),
    _flow("consulting", "agent and target talk in a consult", "room", "", _CONSULTING,
          then=("consult", f"answer {TARGET}"), phones=_TARGET_MAY),
    _flow("swapped", "in a consult the customer is heard, and the target is held", "room", "", _CONSULTING,
          then=("consult", f"answer {TARGET}", "swap"), phones=_TARGET_MAY),
    _flow("three", "all three talk in a warm transfer", "room", "", {**_WARM, **_STEPS},
          then=("warm", f"answer {TARGET}"), phones=_TARGET_MAY),
    _flow("blind", "a blind transfer of a bridged call", "bridged", "blind", {**_BLIND, **_STEPS}, phones=_AGENT_TOO),
    _flow("blind-room", "a blind transfer out of a conference", "room", "blind", {**_BLIND, **_STEPS},
          phones=_AGENT_TOO),
    _flow("gated", "a blind transfer to a phone that must press 1", "bridged", "blind",
          {**_transfer("blind", "blind", options=DialOptions(confirm=True)), **_STEPS}, phones=_AGENT_TOO),
    _flow("lost", "the agent of a bridge has a desk, and may lose the leg", "bridged", "", _REMOVE, phones=_AGENT_MAY,
          desks=(AGENT,), behavior=MUSIC_ENDS),
    _flow("lost-room", "the agent of a conference has a desk, and may lose the leg", "room", "", {**_REMOVE, **_BLIND},
          phones=_AGENT_TOO, desks=(AGENT,)),
    _flow("lost-fallback", "where the agent's recall may fail, and someone else is rung", "bridged", "", {},
          phones={AGENT: ("reject",), CAROL: _ANSWERS}, desks=(AGENT,), behavior=MUSIC_ENDS,
          settings={"CONFERRAL_INBOUND_FALLBACK": CAROL}),
    _flow("lost-consult", "the agent of a consult has a desk, and may lose the leg", "room", "", _CONSULTING,
          then=("consult", f"answer {TARGET}"), phones=_AGENT_TOO, desks=(AGENT,)),
    _flow("lost-swapped", "the same after a swap", "room", "", _CONSULTING,
          then=("consult", f"answer {TARGET}", "swap"), phones=_AGENT_TOO, desks=(AGENT,)),
    _flow("lost-consult-early", "the same from the consult's beginning", "room", "consult", _CONSULTING,
          phones=_AGENT_TOO, desks=(AGENT,)),
    _flow("lost-warm", "the agent of a warm transfer has a desk, and may lose the leg", "bridged", "warm",
          {**_WARM, **_STEPS}, phones=_AGENT_TOO, desks=(AGENT,)),
    _flow("lost-add", "the agent has a desk, and someone else is on the call", "room", "", {**_ADD, **_REMOVE},
          then=("add", f"answer {LAWYER}"), phones={LAWYER: _ANSWERS, AGENT: _ANSWERS}, desks=(AGENT,)),
    Flow("lost-call", "the agent of an outbound call has a desk", call=command(Call, agent=AGENT, customer=CUSTOMER),
         before=(f"answer {AGENT}", f"answer {CUSTOMER}"), first="convert", commands={**_CONVERSION, **_END},
         phones=_AGENT_MAY, desks=(AGENT,)),
    _flow("recall", "the target of a blind transfer refuses, and the agent is rung again", "bridged", "blind",
          {**_BLIND, **_STEPS}, phones={TARGET: ("reject",), AGENT: _ANSWERS}),
    _flow("several", "two targets ring, and the first takes the call", "room", "blind",
          _transfer("blind", "blind", to=(TARGET, CAROL)), phones={TARGET: ("answer",), CAROL: _ANSWERS}),
    _flow("several-warm", "two targets of a warm transfer ring", "room", "warm",
          {**_transfer("warm", "warm", to=(TARGET, CAROL)), **_STEPS},
         phones={TARGET: ("answer",), CAROL: _ANSWERS}),
    _flow("fallback", "a blind transfer that fails goes to someone else", "bridged", "blind", _BLIND,
          phones={TARGET: ("reject",), CAROL: _ANSWERS}, policy=replace(POLICY, fallback=(CAROL,))),
    _flow("chain", "a blind transfer that fails goes elsewhere, then back to the agent", "bridged", "blind",
          _BLIND, phones={TARGET: ("reject",), CAROL: _ANSWERS, AGENT: _ANSWERS},
          policy=replace(POLICY, fallback=(CAROL, "recall"))),
    _flow("voicemail", "a blind transfer that fails goes to the voicemail", "bridged", "blind", _BLIND,
          phones={TARGET: ("reject",)}, policy=replace(POLICY, fallback=("voicemail",))),
    Flow("inbound-fallback", "no agent takes a bridged call, which goes to another destination, then to the voicemail",
         phones={AGENT: _ANSWERS, CAROL: _ANSWERS}, commands=_END,
         settings={"CONFERRAL_INBOUND_FALLBACK": f"{CAROL},voicemail"}),
    Flow("waiting-fallback", "the same for a caller who waits in a conference", begins="conference",
         phones={AGENT: _ANSWERS, CAROL: _ANSWERS}, commands=_END,
         settings={"CONFERRAL_INBOUND_FALLBACK": f"{CAROL},voicemail"}),
    Flow("no-agent", "a caller for whom there is no agent goes to the voicemail", begins="conference", commands=_END,
         settings={"CONFERRAL_AGENT": "", "CONFERRAL_INBOUND_FALLBACK": "voicemail"}),
    _flow("park", "a bridged call is parked", "bridged", "park", _PARK, phones={CAROL: _ANSWERS, AGENT: _ANSWERS}),
    _flow("park-room", "a call in a conference is parked", "room", "park", _PARK,
          phones={CAROL: _ANSWERS, AGENT: _ANSWERS}),
    _flow("retrieve", "a parked call is taken up again", "bridged", "retrieve", _PARK, then=("park",),
          phones={CAROL: _ANSWERS, AGENT: _ANSWERS}),
    Flow("queue", "a caller waits in a queue for a desk, which is offered the call", begins="conference",
         others_wait=True, first="offer", commands=_QUEUE, phones={BROWSER: _ANSWERS}, settings=_WITH_QUEUE,
         behavior=MUSIC_ENDS),
    Flow("queue-bridged", "a caller whom no one takes over a bridge waits in a queue", commands=_QUEUE_AFTER_RING,
         phones={BROWSER: _ANSWERS}, settings=_WITH_QUEUE, behavior=MUSIC_ENDS),
    Flow("queue-retrieved", "someone takes a caller out of a queue while a desk rings", begins="conference",
         others_wait=True, before=("offer",), first="retrieve", commands=_QUEUE,
         phones={BROWSER: _ANSWERS, CAROL: _ANSWERS}, settings=_WITH_QUEUE),
    _flow("add", "someone is added", "room", "add", _ADD, phones={LAWYER: _ANSWERS}),
    _flow("add-muted", "someone is added who is heard only later", "room", "add muted", _ADD_MUTED,
          phones={LAWYER: _ANSWERS}),
    _flow("remove", "someone who was added is removed", "room", "remove", {**_ADD, **_BLIND},
          then=("add", f"answer {LAWYER}"), phones={LAWYER: _ANSWERS, **_AGENT_TOO}),
    _flow("hold", "someone is held", "room", "hold customer", _OF_PARTIES),
    _flow("hold-limit", "a party is held for too long", "room", "hold customer",
          _HELD, policy=LIMITED),
    _flow("consult-limit", "a consult lasts for too long", "room", "", _CONSULTING,
          then=("consult", f"answer {TARGET}"), phones=_TARGET_MAY, policy=LIMITED),
    _flow("mute", "someone of a bridged call is muted", "bridged", "mute agent", _OF_PARTIES),
    _flow("supervise", "someone listens in", "room", "whisper", _SUPERVISE, phones={CHIEF: _ANSWERS}),
    _flow("supervised", "someone helps the agent, who hands over", "room", "blind", {**_SUPERVISE, **_BLIND},
          then=("whisper", f"answer {CHIEF}"), phones={CHIEF: _ANSWERS, **_AGENT_TOO}),
    _flow("announce", "something is said to all", "room", "announce", {"announce": command(Announce, say="Hello")}),
    _flow("press", "one party gets digits", "room", "press customer", {**_PRESS, **_OF_PARTIES}),
    _flow("record", "the customer's call is recorded", "room", "record start", _RECORD),
    Flow("recorded-consult", "a recorded conference, in which a consult begins", before=_IN_CONFERENCE, first="consult",
         commands={**_CONSULTING, **_CONVERSION, **_END}, phones=_TARGET_MAY, settings={"CONFERRAL_RECORD": "true"}),
    Flow("waiting", "a caller waits in a conference for the agent", begins="conference", phones={AGENT: _ANSWERS},
         commands=_END),
    Flow("browser", "a browser calls someone", begins="client", phones={CUSTOMER: _ANSWERS}, commands=_END),
    Flow("call", "an agent is called, then the customer", call=command(Call, agent=AGENT, customer=CUSTOMER),
         phones={AGENT: _ANSWERS, CUSTOMER: _ANSWERS}, commands=_END),
    Flow("call-room", "the same in a conference from the start",
         call=command(Call, agent=AGENT, customer=CUSTOMER, mode="conference"),
         phones={AGENT: _ANSWERS, CUSTOMER: _ANSWERS}, commands=_END),
    Flow("call-blind", "a blind transfer of an outbound call", call=command(Call, agent=AGENT, customer=CUSTOMER),
         before=(f"answer {AGENT}", f"answer {CUSTOMER}"), first="blind", phones=_AGENT_TOO,
         commands={**_BLIND, **_STEPS, **_END}),
    Flow("call-convert", "an outbound call is moved", call=command(Call, agent=AGENT, customer=CUSTOMER),
         before=(f"answer {AGENT}", f"answer {CUSTOMER}"), first="convert", commands={**_CONVERSION, **_END}),
)  # fmt: skip
#: The same for a caller who comes back during the call.
RETURNS = tuple(
    replace(flow, name=f"{flow.name}-return", about=f"{flow.about}, on a second visit", comes_back=True)
    for flow in ALL
    if flow.name in ("inbound", "next-agent", "waiting", "browser")
)


def _variants(suffix: str, about: str, names: Collection[str], **changes: Any) -> tuple[Flow, ...]:
    """The flows of these names, under other behavior of Twilio's."""
    return tuple(
        replace(
            flow,
            name=f"{flow.name}-{suffix}",
            about=f"{flow.about}, {about}",
            behavior=replace(flow.behavior, **changes),
        )
        for flow in ALL
        if flow.name in names
    )


#: A failed wait document resembles a hang-up.
AWAITED = _variants(
    "start-awaited",
    "where nothing is done before the start",
    ("waiting", "call-room", "blind", "park"),
    add_before_start="refused",
    failed_wait="hung-up",
)
#: Twilio's former rule.
ALL_LISTED = _variants(
    "all-listed",
    "where lists show every conference",
    ("convert", "call-room"),
    conference_list="all",
    init_conference_list="all",
)
#: What others observed on real calls.
OBSERVED = _variants(
    "observed",
    "where ringing starts a conference, and the one who ends it leaves last",
    ("waiting", "call-room", "warm-room", "blind-room", "park-room", "consulting", "record"),
    early_media_starts=True,
    ending_leave="last",
    busy_rings=True,
    second_recording="another",
)
#: A start proves that a second one is in: the two talk, though no callback has said so yet.
START_FIRST = tuple(
    replace(flow, name=f"{flow.name}-start-first", about=f"{flow.about}, as the start tells", start_first=True)
    for flow in ALL
    if flow.name in ("blind", "fallback", "inbound-fallback", "waiting-fallback", "lost", "lost-fallback")
)
FLOWS = {flow.name: flow for flow in (*ALL, *RETURNS, *AWAITED, *ALL_LISTED, *OBSERVED, *START_FIRST)}
