"""Those who are on the phone, and the operators who send commands: all by chance."""

import asyncio
from collections.abc import Iterator, Mapping
from random import Random

from offhook.model.messages import PhoneHangsUp, PhoneSpeaks
from offhook.phones import PhoneScript
from tests.simulation.virtual_twilio import VirtualTwilio

Fields = dict[str, str]

#: Whom inbound calls are for, and whom commands have dialed. All may be dialed.
CLIENTS = tuple(f"client:{name}" for name in ("alice", "bob", "carol", "dave", "erin", "frank"))
NUMBERS = tuple(f"+1415555{number:04d}" for number in range(1_000, 1_800))
SIP = ("sip:desk@example.com",)
DIALED = (*CLIENTS, *NUMBERS, *SIP)
#: None of these may be dialed: another country's plan, premium, emergency, another domain, no address at all.
FORBIDDEN = ("+18765550123", "+442079460123", "+19005550123", "911", "sip:x@elsewhere.example", "nobody")
#: What is set so that all of `DIALED` may be dialed.
ALLOWED = "US,client:,sip:example.com"
PARTIES = ("customer", "agent", "target", "supervisor", "guest")
#: Never reached, and only transferred to where the customer has somewhere else to go.
AWAY = "client:away"
#: Where an app of the users' own takes callers back.
MENU = "https://app.example.com/menu"


def phone_script(address: str, chance: Random, talk_s: float, talk_max_s: float) -> PhoneScript:
    """What someone does whose phone is dialed."""
    rings_s = chance.uniform(0.05, 1.0)
    if address == AWAY:
        return PhoneScript(answer_after_s=rings_s, outcome="busy")
    kind = chance.random()
    if kind < 0.06:
        return PhoneScript(ring_after_s=rings_s, outcome="no-answer")
    if kind < 0.12:
        return PhoneScript(answer_after_s=rings_s, outcome="busy")
    if kind < 0.18:
        return PhoneScript(ring_after_s=rings_s, answer_after_s=chance.uniform(0.5, 15.0), outcome="reject")
    if kind < 0.21:
        return PhoneScript(answer_after_s=rings_s, outcome="fail")
    if kind < 0.25:
        machine = chance.choice(("mailbox", "mailbox-with-beep", "fax"))
        return PhoneScript(
            kind=machine, answer_after_s=chance.uniform(1.0, 15.0), hang_up_after_s=min(60.0, talk_max_s)
        )
    # Some are gone again at once, as who answers by mistake; others wait for the end of the call.
    until_s = chance.choice((talk_max_s, talk_max_s, chance.expovariate(1 / talk_s), chance.expovariate(1 / talk_s)))
    if chance.random() < 0.05:
        until_s = chance.uniform(0.0, 2.0)
    return PhoneScript(
        ring_after_s=rings_s,
        answer_after_s=min(35.0, chance.expovariate(1 / 5.0)),
        hang_up_after_s=min(talk_max_s, until_s),
        keys=chance.choice((("1",), ("1",), ("", "1"), ("2", "1"), ("2", "2"), ())),
        keys_after_s=chance.uniform(0.1, 6.0),
    )


def fallback(chance: Random, *, without: frozenset[str] = frozenset()) -> str:
    """Places for a customer whom no one takes, in an order that is allowed."""
    places = [place for place in ("recall", "voicemail", "voicemail") if place not in without]
    last = chance.choice(("", "", "end", MENU))
    count = chance.choice((0, 1, 2) if last else (1, 2))
    chosen = dict.fromkeys(chance.sample([*places, *chance.sample(DIALED, 2)], count))
    return ",".join([*chosen, *filter(None, (last,))])


def handoff(chance: Random) -> Fields:
    """What an app hands over, and to whom."""
    to = _someone(chance)
    fields = {"to": to} if chance.random() < 0.7 else {}
    mode = {"mode": "bridge"} if chance.random() < 0.5 else {}
    places = {"fallback": fallback(chance, without=frozenset({"recall"}))} if chance.random() < 0.7 else {}
    options = _options(chance, to=to)
    options.pop("digits", None)
    return {**fields, **mode, **places, **options}


async def leave_message(twilio: VirtualTwilio, call_sid: str, chance: Random) -> None:
    """A caller who was sent to the voicemail speaks after a while, hangs up, or does neither."""
    await asyncio.sleep(chance.uniform(0.0, 12.0))
    if chance.random() < 0.3:
        twilio.apply(PhoneHangsUp(call_sid))
    elif (text := says(chance)) is not None:
        twilio.apply(PhoneSpeaks(call_sid, text))


def says(chance: Random) -> str | None:
    """What a caller says after the tone: nothing (None), or a text; empty for more than is recorded."""
    return chance.choice((None, "Please call me back.", "It is about my order, which has not arrived yet.", "", ""))


def flow(chance: Random) -> Iterator[Fields]:
    """The commands of one flow, in order, without their session."""
    return iter(_FLOWS[chance.randrange(len(_FLOWS))](chance))


def anything(chance: Random, number: int) -> Fields:
    """One command of any kind, which may make sense or not."""
    kind = chance.choice(sorted(_ANY))
    fields = _ANY[kind](chance) if kind != "add" else _add(chance, number)
    for name in ("to", "agent", "customer"):
        if name in fields and chance.random() < 0.15:
            fields[name] = chance.choice(FORBIDDEN)
    if fields and chance.random() < 0.05:
        fields.pop(chance.choice(sorted(fields)))
    return {"type": kind, **fields}


def call(chance: Random) -> Fields:
    """A command that opens a session."""
    fields = _ANY["call"](chance)
    return {"type": "call", **fields}


def _someone(chance: Random) -> str:
    return chance.choice(DIALED)


def _several(chance: Random) -> str:
    return ",".join(chance.sample(DIALED, chance.choice((1, 1, 1, 2, 3))))


def _options(chance: Random, *, to: str) -> Fields:
    fields: Fields = {}
    if chance.random() < 0.2:
        fields["brief"] = "A call about an invoice."
    if chance.random() < 0.3:
        fields["confirm"] = chance.choice(("true", "true", "false"))
    if chance.random() < 0.2:
        fields["timeout"] = chance.choice(("5", "10", "20"))
    if chance.random() < 0.1 and "client:" not in to:
        fields["digits"] = "ww12#"
    if chance.random() < 0.15:
        fields["amd"] = "true"
    return fields


def _transfer(chance: Random, mode: str = "") -> Fields:
    to = _several(chance)
    mode = mode or chance.choice(("warm", "consult", "blind"))
    places = _places(chance) if mode == "blind" or chance.random() < 0.03 else {}
    return {"to": to, "mode": mode, **places, **_options(chance, to=to)}


def _places(chance: Random) -> Fields:
    return {"fallback": fallback(chance)} if chance.random() < 0.6 else {}


def _one(chance: Random) -> Fields:
    to = _someone(chance)
    return {"to": to, **_options(chance, to=to)}


def _add(chance: Random, number: int) -> Fields:
    return {"party": f"guest{number}", **_one(chance)}


def _supervise(chance: Random) -> Fields:
    return {"mode": chance.choice(("monitor", "whisper", "barge")), **_one(chance)}


def _announce(chance: Random) -> Fields:
    if chance.random() < 0.5:
        return {"say": "This call may be recorded."}
    return {"url": "https://media.example.com/notice.mp3"}


def _press(chance: Random) -> Fields:
    return {"digits": chance.choice(("1", "4711#", "ww0*")), **_named(chance)}


def _call(chance: Random) -> Fields:
    agent, customer = chance.sample(DIALED, 2)
    mode = {"mode": chance.choice(("bridge", "conference"))} if chance.random() < 0.6 else {}
    return {"agent": agent, "customer": customer, **mode, **_options(chance, to=agent)}


def _named(chance: Random) -> Fields:
    return {"party": chance.choice(PARTIES)}


_ANY = {
    "call": _call,
    "convert": lambda _: {},
    "transfer": _transfer,
    "complete": lambda _: {},
    "cancel": lambda _: {},
    "swap": lambda _: {},
    "merge": lambda _: {},
    "park": _places,
    "retrieve": _one,
    "add": lambda chance: _add(chance, 0),
    "remove": _named,
    "hold": _named,
    "unhold": _named,
    "mute": _named,
    "unmute": _named,
    "supervise": _supervise,
    "announce": _announce,
    "press": _press,
    "record": lambda chance: {"action": chance.choice(("start", "pause", "resume", "stop"))},
    "end": lambda _: {},
}


def _steps(*steps: tuple[str, Mapping[str, str]]) -> list[Fields]:
    return [{"type": kind, **fields} for kind, fields in steps]


def _warm(chance: Random) -> list[Fields]:
    end = chance.choice(("complete", "complete", "cancel"))
    return _steps(("transfer", _transfer(chance, "warm")), (end, {}))


def _consult(chance: Random) -> list[Fields]:
    middle = [("swap", {})] * chance.choice((0, 0, 1, 2)) + [("merge", {})] * chance.choice((0, 0, 1))
    end = chance.choice(("complete", "complete", "cancel"))
    return _steps(("transfer", _transfer(chance, "consult")), *middle, (end, {}))


def _blind(chance: Random) -> list[Fields]:
    return _steps(("transfer", _transfer(chance, "blind")))


def _unanswered(chance: Random) -> list[Fields]:
    return _steps(("transfer", {"to": AWAY, "mode": "blind", "fallback": fallback(chance)}))


def _park(chance: Random) -> list[Fields]:
    return _steps(("park", _places(chance)), *([("retrieve", _one(chance))] if chance.random() < 0.7 else []))


def _hold(chance: Random) -> list[Fields]:
    party = {"party": chance.choice(("customer", "agent"))}
    return _steps(("hold", party), ("unhold", party))


def _mute(chance: Random) -> list[Fields]:
    party = {"party": chance.choice(("customer", "agent"))}
    return _steps(("mute", party), ("unmute", party))


def _watch(chance: Random) -> list[Fields]:
    first = _supervise(chance)
    second = {**first, "mode": chance.choice(("monitor", "whisper", "barge"))}
    return _steps(("supervise", first), ("supervise", second), ("remove", {"party": "supervisor"}))


def _adding(chance: Random) -> list[Fields]:
    number = chance.randrange(1_000)
    steps = [("add", _add(chance, number))]
    if chance.random() < 0.5:
        steps.append(("remove", {"party": f"guest{number}"}))
    return _steps(*steps)


def _recorded(_chance: Random) -> list[Fields]:
    return _steps(*(("record", {"action": action}) for action in ("start", "pause", "resume", "stop")))


_FLOWS = (
    lambda _: _steps(("convert", {})),
    _warm,
    _warm,
    _consult,
    _consult,
    _consult,
    _blind,
    _blind,
    _unanswered,
    _unanswered,
    _park,
    _adding,
    _hold,
    _mute,
    _watch,
    lambda chance: _steps(("announce", _announce(chance))),
    lambda chance: _steps(("press", _press(chance))),
    _recorded,
    lambda _: _steps(("end", {})),
)
