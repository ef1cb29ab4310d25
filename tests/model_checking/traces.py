"""A finding described in words, step by step; and such a trace played again."""

from collections.abc import Iterable, Iterator

from conferral.statemachine.events import Event, TimerExpired
from tests.model_checking.configuration import ModelInputs, Move, Place
from tests.model_checking.decision import BrokenLawError
from tests.model_checking.search import Exploration, Finding

#: The fields that distinguish an event from others, in this order.
_DISTINGUISHING = (
    "finding", "kind", "asked", "status", "dial", "dial_kind", "dial_call_status", "decision", "call_status",
    "left_reason", "conference_reason", "held", "muted",
)  # fmt: skip
_ORDERED = {"send": "is carried out", "answer": "is answered", "note": "is answered, and that is stored"}
_DOCUMENTS = {
    "fetch": "is answered",
    "lose-fetch": "gets no answer",
    "double-fetch": "is answered, but the answer is lost, and it is asked again",
}
_CALLBACKS = {"callback": "arrives", "lose": "is lost", "double": "arrives twice", "entry": "is decided"}

_DISTURBANCES = {
    ("crash", ""): "the worker dies; another takes over 5 s later",
    ("crash", "marked"): "the worker dies between the mark and the request; another takes over 5 s later",
    ("copy", ""): "what is stored from here on will be lost",
    ("loss", ""): "Redis loses it; another worker takes over 5 s later",
}


def describe(exploration: Exploration, finding: Finding) -> list[str]:
    """The story of a finding: numbered steps, each with what has changed by it.

    Raises:
        LookupError, ValueError: played step by step it does not break that law: the fault is the explorer's.
    """
    moves = exploration.full(finding.moves)
    places, broken = exploration.follow(moves)
    if broken is None or broken.law != finding.broken.law:
        raise ValueError(f"what breaks the law {finding.broken.law!r} breaks {broken!r} when it is played again")
    lines = [
        f"{exploration.flow.name}: {exploration.flow.about}",
        f"   at first {moment(exploration.system, places[0])}",
    ]
    before = ""
    for number, move in enumerate(moves[: len(places)], 1):
        at = places[number - 1]
        lines.append(f"{number:2}. {said(exploration.system, at, move)}")
        if number < len(places):
            now = moment(exploration.system, places[number])
            if now != before:
                lines.append(f"      {now}")
            before = now
    return [*lines, f"Broken: {finding.broken.law}: {finding.broken.reason}"]


def replay(exploration: Exploration, story: Iterable[str]) -> tuple[list[Place], BrokenLawError | None]:
    """Plays the numbered steps of a trace, as `describe` has written them.

    Returns:
        The places it has come through, and the law that its last step breaks, if it does.

    Raises:
        LookupError: a step can't be made where the story stands.
    """
    places = [exploration.start]
    with exploration.system.step_by_step():
        for wanted in steps_of(story):
            led = exploration.moves.of(places[-1])
            after = next((after for move, after in led if said(exploration.system, places[-1], move) == wanted), None)
            if after is None:
                there = "\n  ".join(said(exploration.system, places[-1], move) for move, _ in led)
                raise LookupError(f"no such step: {wanted}\nthere are:\n  {there}")
            if isinstance(after, BrokenLawError):
                return places, after
            places.append(after)
    return places, None


def steps_of(story: Iterable[str]) -> Iterator[str]:
    """The steps among the lines of a story: those with a number."""
    for line in story:
        number, dot, step = line.strip().partition(". ")
        if dot and number.isdigit():
            yield step.strip()


# ---- words -------------------------------------------------------------------------------------------------------


def said(system: ModelInputs, place: Place, move: Move) -> str:
    """What a move is, in words; no two moves of one place are said alike, unless they are the same."""
    match move.kind:
        case "callback" | "lose" | "double" | "entry":
            assert isinstance(move.what, int)
            return f"{_event(system, place, system.events[move.what])} {_CALLBACKS[move.kind]}"
        case "fetch" | "lose-fetch" | "double-fetch":
            fetch = next(one for one in system.exchanges.fetches[place.exchange] if one.fetch_id == move.what)
            path = fetch.url.partition("?")[0].rpartition("example")[2]
            return f"{_who(system, place, fetch.call_sid)}'s {fetch.purpose} document {path} {_DOCUMENTS[move.kind]}"
        case "send" | "look" | "answer" | "note" | "unknown" | "expire" | "late":
            assert isinstance(move.what, int)
            return _order(system, place, move)
        case "person":
            return f"{_who(system, place, str(move.what))}: {move.how}"
        case "program":
            return f"another program moves {_who(system, place, str(move.what))}"
        case "command":
            return f"the operator commands {move.what}"
        case "timer":
            return f"the timer {move.what} is due"
        case "time":
            return f"{move.what} ms pass"
        case "slow":
            return f"{move.what} ms pass, though something is under way"
        case "crash" | "copy" | "loss":
            return _DISTURBANCES[move.kind, move.how]
    raise ValueError(move.kind)


def _order(system: ModelInputs, place: Place, move: Move) -> str:
    assert isinstance(move.what, int)
    order = system.orders[move.what]
    words = (order.effect.kind, order.effect.detail, order.effect.party, _who(system, place, order.effect.target))
    name = " ".join(dict.fromkeys(word for word in words if word))
    if move.kind == "unknown":
        if move.how == "late":
            return f"the order {name} is sent, has no answer, and is given up"
        return f"the order {name} is sent, and its answer is lost {move.how} it has happened"
    if move.kind == "late":
        return f"the order {name}, which was given up, is carried out now"
    if move.kind == "expire":
        return f"the order {name} is given up before it is sent, or sent again"
    if move.kind == "look":
        return f"the order {name} is looked up"
    outcome = "" if order.outcome is None or move.kind == "send" else f" ({order.outcome.name})"
    return f"the order {name} {_ORDERED[move.kind]}{outcome}"


def _event(system: ModelInputs, place: Place, event: Event) -> str:
    if isinstance(event, TimerExpired):
        return event.name
    whose = getattr(event, "call_sid", "") or getattr(event, "conference_sid", "")
    reported = (str(getattr(event, name, "")) for name in _DISTINGUISHING)
    number = "" if event.sequence is None else f"#{event.sequence}"
    # Someone may join, or leave, two conferences: the conference distinguishes the two events.
    conference = _who(system, place, event.source) if number and event.source.startswith("CF") else ""
    words = dict.fromkeys((event.name, _who(system, place, whose), *reported, conference, number))
    return " ".join(word for word in words if word and word != "False")


def _who(system: ModelInputs, place: Place, sid: str) -> str:
    """Whose call it is, or which conference."""
    if not sid.startswith(("CA", "CF")):
        return sid
    if sid.startswith("CF"):
        return f"room {sid[2:5]}"
    party = system.sessions.known[place.session].find_party(call_sid=sid)
    leg = next((leg for leg in system.exchanges.legs[place.exchange] if leg.sid == sid), None)
    if party is not None:
        return party.name
    return f"call {sid[2:5]}" if leg is None else f"call {sid[2:5]} to {leg.to}"


def moment(system: ModelInputs, place: Place) -> str:
    """How it stands: what the session believes, and what each leg hears."""
    session = system.sessions.known[place.session]
    state = " ".join(word for word in (session.state.value, session.phase.value) if word)
    transfer = session.transfer
    stage = f", {transfer.stage.value}" if transfer is not None and transfer.is_running else ""
    heard = []
    for leg in system.exchanges.legs[place.exchange]:
        whom = ", ".join(_who(system, place, sid) for sid in leg.whom)
        status = "" if leg.status == "in-progress" else f"{leg.status}, "
        what = whom or leg.hears
        heard.append(f"{_who(system, place, leg.sid)} {status}{'hears ' + what if what else leg.activity}")
    known = state + stage if session.version else "unknown"
    return f"[{known}] " + ("; ".join(heard) or "nobody is there")
