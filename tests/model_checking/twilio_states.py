"""All states of Twilio's model that were met, each once, and what follows in them: asked again, the answer is known.

A phone that should ring does so at once. Documents that the exchange asks for stay with its state until they come.
"""

import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from conferral.telephony.account_lists import AccountSnapshot
from conferral.telephony.callback_events import FIELDS_READ
from offhook.model.audibility import sound_heard_by
from offhook.model.behavior import Behavior
from offhook.model.messages import (
    CallbackRequest,
    DebuggerEntry,
    FetchRequest,
    Input,
    Params,
    PhoneRings,
    RestAnswer,
    RestRequest,
    RingPhone,
    TimePassed,
)
from offhook.model.numbers import Number
from offhook.model.state import FINAL, Call, Conference, State, WaitAudio
from offhook.model.twilio_model import TwilioModel
from tests.model_checking.canonical_values import NOW_S, digest, flat

_T = TypeVar("_T")

#: What is due later than this never is: the longest call, an hour of music.
NEVER_S = 3_600.0
_FAR_S = NOW_S + 10 * NEVER_S
#: What another program lets a moved call hear; it ends by itself.
ELSEWHERE = '<Response><Pause length="60"/></Response>'
#: The documents that someone who waits or is held listens to.
WAIT_AUDIO = frozenset({"wait", "hold"})


@dataclass(frozen=True, slots=True)
class Fetch:
    """A document that Twilio asks us for."""

    fetch_id: int
    call_sid: str
    url: str
    params: Params
    purpose: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One live call, as it is to be judged."""

    sid: str
    to: str
    status: str
    direction: str
    activity: str
    #: What is heard there: `parties`, `ringback`, `music`, `silence`, `speech`; empty where no one listens.
    hears: str
    #: Whom it hears, by their calls.
    whom: tuple[str, ...]
    #: The conference that it is in.
    conference_sid: str
    held: bool = False
    muted: bool = False
    #: Whether another program has moved it.
    is_foreign: bool = False
    #: Who is at its other end: for one that came in, the caller.
    party: str = ""


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of one input."""

    exchange: int
    callbacks: tuple[CallbackRequest, ...]


class TwilioStates:
    """States of the exchange by number, and the way from one to the next."""

    def __init__(self, account_sid: str, numbers: tuple[Number, ...], behavior: Behavior) -> None:
        self.account_sid = account_sid
        self._numbers = numbers
        self._behavior = behavior
        self._states: list[bytes] = []
        self.fetches: list[tuple[Fetch, ...]] = []
        #: When something happens by itself, milliseconds from now; None for never.
        self.due_ms: list[int | None] = []
        self.legs: list[tuple[Leg, ...]] = []
        #: What the account's lists show.
        self.accounts: list[AccountSnapshot] = []
        #: What was dialed twice, in words; empty where nothing was.
        self.dialed_twice: list[str] = []
        self._ids: dict[bytes, int] = {}
        self._followed: dict[tuple[int, Input], Followed] = {}
        self._later: dict[tuple[int, int], Followed] = {}
        #: What Twilio's debugger would have shown, by code (count).
        self.debugged: dict[int, int] = {}
        first = TwilioModel(account_sid, behavior=behavior)
        first.now_s = NOW_S
        for number in numbers:
            first.add_number(number)
        self.first = self._number_of(first, {})

    # ---- what happens --------------------------------------------------------------------------------------------

    def follow(self, number: int, happened: Input) -> Followed:
        """What follows when this happens now."""
        key = number, happened
        found = self._followed.get(key)
        if found is None:
            found = self._followed[key] = self.visit(number, lambda visit: visit.take(happened))[0]
        return found

    def later(self, number: int, by_ms: int) -> Followed:
        """What has happened by itself after so many milliseconds."""
        key = number, by_ms
        found = self._later.get(key)
        if found is None:
            exchange, requests = self._load(number)
            _move_back(exchange.state, by_ms / 1000)
            visit = Visit(exchange, requests, self.debugged)
            visit.take(TimePassed())
            found = self._later[key] = self._end(visit)
        return found

    def visit(self, number: int, act: "Callable[[Visit], _T]") -> tuple[Followed, _T]:
        """Does something with a copy of the exchange, several requests for instance; not remembered."""
        visit = Visit(*self._load(number), self.debugged)
        value = act(visit)
        return self._end(visit), value

    def move(self, number: int, call_sid: str) -> Followed:
        """What follows when another program moves a call; from then on the call is that program's."""

        def act(visit: Visit) -> None:
            visit.take(RestRequest("POST", f"/Calls/{call_sid}.json", (("Twiml", ELSEWHERE),)))
            visit.exchange.state.calls[call_sid].is_foreign = True

        return self.visit(number, act)[0]

    def state(self, number: int) -> State:
        """A copy of a state, for reading."""
        return self._load(number)[0].state

    def _end(self, visit: "Visit") -> Followed:
        return Followed(self._number_of(visit.exchange, visit.requests), tuple(visit.callbacks))

    def _load(self, number: int) -> tuple[TwilioModel, dict[int, Fetch]]:
        exchange = TwilioModel(self.account_sid, behavior=self._behavior)
        exchange.state = pickle.loads(self._states[number])
        exchange.now_s = NOW_S
        return exchange, {fetch.fetch_id: fetch for fetch in self.fetches[number]}

    def _number_of(self, exchange: TwilioModel, requests: dict[int, Fetch]) -> int:
        state = exchange.state
        legs = tuple(_leg(state, sid) for sid in state.live_calls)
        fetches = _normal(state, requests)
        key = digest((flat(fetches), tuple(state.timers.items()), *(flat(getattr(state, name)) for name in _PARTS)))
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self._states)
            self._states.append(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
            self.fetches.append(fetches)
            self.legs.append(legs)
            self.dialed_twice.append(_dialed_twice(state))
            names = {sid: one.name for sid, one in state.conferences.items() if one.status != "completed"}
            self.accounts.append(AccountSnapshot(calls=set(state.live_calls), conferences=names))
            first_s = exchange.next_due_s()
            is_due = first_s is not None and first_s - NOW_S <= NEVER_S
            self.due_ms.append(max(0, round((first_s - NOW_S) * 1000)) if first_s is not None and is_due else None)
        return number


class Visit:
    """A copy of the exchange at work. Its outputs are gathered."""

    def __init__(self, exchange: TwilioModel, requests: dict[int, Fetch], debugged: dict[int, int]) -> None:
        self.exchange = exchange
        self.requests = requests
        self.callbacks: list[CallbackRequest] = []
        #: After a loss, we may have moved a call that another program has moved: docs/reliability.md.
        self.is_after_loss = False
        self._debugged = debugged

    def take(self, happened: Input) -> RestAnswer | None:
        """Applies one input, and rings every phone that should ring."""
        result = self.exchange.handle(happened, NOW_S)
        for output in result.outputs:
            match output:
                case CallbackRequest():
                    self.callbacks.append(output)
                case FetchRequest():
                    self.requests[output.fetch_id] = Fetch(
                        output.fetch_id, output.call_sid, output.url, _read(output.params), output.purpose
                    )
                case RingPhone():
                    self.take(PhoneRings(output.call_sid))
                case DebuggerEntry():
                    self._debugged[output.code] = self._debugged.get(output.code, 0) + 1
                case _:
                    pass
        return result.rest

    async def answer(self, request: RestRequest) -> RestAnswer:
        """Answers a request of the REST API."""
        ends = request.method == "POST" and ("Status", "completed") in request.params
        call = self.exchange.state.calls.get(request.path.removeprefix("/Calls/").removesuffix(".json"))
        is_foreign = call is not None and call.is_foreign and not self.is_after_loss
        assert not (ends and is_foreign), "a call that another program moved is completed"
        answer = self.take(request)
        assert answer is not None
        return answer


def _read(params: Params) -> Params:
    """The parameters that our webhooks read: the others show how long something took, for instance."""
    return tuple((name, value) for name, value in params if name in FIELDS_READ or name == "AccountSid")


# ---- what of a state counts --------------------------------------------------------------------------------------

#: The parts of a state that differ from one to the next.
_PARTS = (
    "calls",
    "live_calls",
    "conferences",
    "conference_sids",
    "recordings",
    "fetches",
    "created_counts",
)


def _normal(state: State, requests: dict[int, Fetch]) -> tuple[Fetch, ...]:
    """Takes off the state what has no effect any more, and numbers what is fetched again."""
    wanted = {fetch_id: requests[fetch_id] for fetch_id in state.fetches}
    order = sorted(wanted, key=lambda fetch_id: (wanted[fetch_id].call_sid, wanted[fetch_id].purpose, fetch_id))
    numbers = {fetch_id: number for number, fetch_id in enumerate(order, 1)}
    fetches = {}
    for fetch_id in order:
        fetch = state.fetches[fetch_id]
        is_current = fetch.generation == state.calls[fetch.call_sid].generation
        is_wait_audio = fetch.purpose in {"wait", "hold", "announce"}
        generation = numbers[fetch_id] if is_wait_audio else int(is_current)
        fetches[numbers[fetch_id]] = replace(fetch, fetch_id=numbers[fetch_id], generation=generation)
    state.fetches = fetches
    state.fetch_count = len(fetches)
    for call in state.calls.values():
        _normal_call(call)
    for conference in state.conferences.values():
        _normal_conference(conference, numbers)
    for recording in state.recordings.values():
        recording.started_at_s = recording.updated_at_s = NOW_S - 1
        recording.ended_at_s = None if recording.ended_at_s is None else NOW_S
        recording.paused_at_s = None if recording.paused_at_s is None else NOW_S
        recording.skipped_s = 0.0
        recording.spans = []
    _normal_timers(state)
    return tuple(replace(wanted[fetch_id], fetch_id=numbers[fetch_id]) for fetch_id in order)


def _normal_call(call: Call) -> None:
    call.updated_at_s = NOW_S
    # The time of a dialed call may distinguish it from others to the same address.
    is_dialed = call.direction == "outbound-api"
    call.created_at_s = max(round(call.created_at_s, 3), NOW_S - 60) if is_dialed else NOW_S
    call.answered_at_s = None if call.answered_at_s is None else NOW_S
    call.ended_at_s = None if call.ended_at_s is None else NOW_S
    call.generation = 1
    if call.dial is not None and call.dial.bridged_at_s is not None:
        call.dial.bridged_at_s = NOW_S
    if call.status in FINAL:
        call.program = call.dial = call.gather = call.join_settings = call.redirect_target = call.start = None
        call.custom = ()
        call.send_digits = call.digits_sent = ""


def _normal_conference(conference: Conference, numbers: dict[int, int]) -> None:
    conference.created_at_s = conference.updated_at_s = NOW_S
    wait_sounds: list[WaitAudio | None] = [conference.announcement]
    for participant in conference.participants.values():
        participant.created_at_s = participant.updated_at_s = NOW_S
        wait_sounds += (participant.wait_audio, participant.hold_audio, participant.announcement)
    for audio in wait_sounds:
        if audio is not None:
            audio.generation = numbers.get(audio.generation, 0)
            audio.requested_at_s = max(round(audio.requested_at_s, 3), NOW_S - 2)


def _normal_timers(state: State) -> None:
    """The same timers in the order in which they are due, so that nothing shows how they came about."""
    in_order = sorted(state.timers.items(), key=lambda timer: timer[::-1])
    state.timers = {key: round(at_s, 3) if at_s - NOW_S <= NEVER_S else _FAR_S for key, at_s in in_order}


def _move_back(state: State, by_s: float) -> None:
    """All moments that still count were so much earlier."""
    for key, at_s in state.timers.items():
        state.timers[key] = at_s if at_s >= _FAR_S else round(at_s - by_s, 3)
    for call in state.calls.values():
        call.created_at_s -= by_s
    for conference in state.conferences.values():
        wait_sounds: list[WaitAudio | None] = [conference.announcement]
        for participant in conference.participants.values():
            wait_sounds += (participant.wait_audio, participant.hold_audio, participant.announcement)
        for audio in wait_sounds:
            if audio is not None:
                audio.requested_at_s -= by_s


def _dialed_twice(state: State) -> str:
    dials: Counter[str] = Counter()
    for call in state.calls.values():
        if call.direction == "outbound-api" and call.subscription is not None:
            dials[_dial_of(call.subscription.url)] += 1
    return ", ".join(f"{dial}: {count} calls" for dial, count in dials.items() if dial and count > 1)


@lru_cache(maxsize=1024)
def _dial_of(url: str) -> str:
    """The dial that a call's callbacks belong to, by their URL."""
    return dict(parse_qsl(urlsplit(url).query)).get("dial", "")


def _leg(state: State, sid: str) -> Leg:
    call = state.calls[sid]
    heard = sound_heard_by(state, sid)
    conference = state.conferences.get(call.conference_sid)
    participant = conference.participants.get(sid) if conference is not None else None
    is_in = participant is not None and participant.is_in
    return Leg(
        sid=sid,
        to=call.to,
        status=call.status,
        direction=call.direction,
        activity=call.activity,
        hears="" if heard is None else heard.kind,
        whom=() if heard is None else tuple(sorted(heard.parties)),
        conference_sid=call.conference_sid if is_in else "",
        held=participant is not None and is_in and participant.is_held,
        muted=participant is not None and is_in and participant.muted,
        is_foreign=call.is_foreign,
        party=call.from_ if call.direction == "inbound" else call.to,
    )
