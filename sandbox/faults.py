"""Faults on demand: rates that a seed decides, and single ones that are asked for by name.

The single ones are looked for first, in the order in which they were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

from conferral.sandbox.model import CallbackRequest, FetchRequest, Params

FaultStep = Literal["before", "after"]
Corruption = Literal["", "half", "html"]


@dataclass(frozen=True, slots=True)
class CallbackPlan:
    """What becomes of one callback: how many copies (0: lost), after how many seconds, held back or not."""

    copies: int = 1
    delay_s: float = 0.0
    is_held_back: bool = False
    """Sent only after the next callback."""

    @property
    def fault(self) -> str:
        """Its name in the ledger."""
        if self.copies == 0:
            return "lost"
        if self.copies > 1:
            return "doubled"
        return "held-back" if self.is_held_back else "delayed" if self.delay_s else ""


@dataclass(frozen=True, slots=True)
class RestPlan:
    """What becomes of one REST request."""

    latency_s: float = 0.0
    status: int = 0
    """An error to answer instead; 0 for none."""
    code: int = 0
    """Twilio's code of that error; 0 for the usual one of its status."""
    cuts_connection: bool = False
    """The connection is closed without an answer."""
    moment: FaultStep = "before"
    """Whether the error or the cut comes before or after the request has taken effect."""
    retry_after_s: int = 1
    corruption: Corruption = ""
    """`half`: the answer breaks off in its middle, after the effect. `html`: a page of somebody between us answers."""

    @property
    def fault(self) -> str:
        """Its name in the ledger."""
        if self.cuts_connection:
            return f"cut-{self.moment}"
        if self.corruption:
            return f"{self.corruption}-{self.moment}"
        if self.status == 429:
            return "429"
        if self.status:
            return f"{self.status}-{self.moment}"
        return "latency" if self.latency_s else ""


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """A request for TwiML that is made later, or is answered by the fault instead of by the webhook."""

    fails: bool = False
    status: int = 0
    """The HTTP status that a failing one seems to get; 0: no connection."""
    delay_s: float = 0.0


@dataclass(slots=True)
class _OneShot:
    """A fault that was asked for by name, for the next `count` that match."""

    pattern: str
    count: int
    params: dict[str, str]
    plan: CallbackPlan | RestPlan | FetchPlan
    method: str = ""
    number: int = 0
    """Tells it from the others, as long as it is to come."""


@dataclass(frozen=True, slots=True)
class PendingFault:
    """A single fault that was asked for and is still to come, for people to read."""

    number: int
    """To take it back by."""
    description: str
    """Which: `the next participant-join callback is lost`."""
    count: int
    """How many times."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """Rates from 0 to 1 and durations in seconds of real time; the same seed decides alike each time.

    All rates may be changed while running.
    """

    seed: int = 0
    callback_loss: float = 0.0
    callback_duplication: float = 0.0
    callback_reordering: float = 0.0
    callback_delay_s: tuple[float, float] = (0.0, 0.0)
    """Least and most."""
    fetch_delay_s: tuple[float, float] = (0.0, 0.0)
    """Before a document is asked for, least and most: Twilio's own time, about 0.3 s in earnest."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Of REST answers, least and most."""
    rate_429: float = 0.0
    rate_500_before: float = 0.0
    rate_500_after: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    retry_after_s: int = 1
    """What a 429 tells the asker to wait."""
    _random: Random = field(init=False, repr=False)
    _one_shots: list[_OneShot] = field(default_factory=list, repr=False)
    _next_number: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311  faults must be repeatable, not secret

    def lose_callbacks(self, event: str, count: int = 1, **params: str) -> None:
        """The next callbacks of this event, with these parameters, are never sent.

        `event` is Twilio's word (`participant-join`, `completed`), `status=busy` for a call's status, or `*`.
        """
        self._add_callback_fault(event, count, params, CallbackPlan(copies=0))

    def duplicate_callbacks(self, event: str, count: int = 1, *, copies: int = 2, **params: str) -> None:
        """The next callbacks of this event are sent several times."""
        self._add_callback_fault(event, count, params, CallbackPlan(copies=copies))

    def delay_callbacks(self, event: str, by_s: float, count: int = 1, **params: str) -> None:
        """The next callbacks of this event are sent so many real seconds later."""
        self._add_callback_fault(event, count, params, CallbackPlan(delay_s=by_s))

    def hold_back_callbacks(self, event: str, count: int = 1, **params: str) -> None:
        """The next callbacks of this event are overtaken by the one that follows."""
        self._add_callback_fault(event, count, params, CallbackPlan(is_held_back=True))

    def next_rest(
        self,
        method: str,
        path: str,
        *,
        status: int = 0,
        cut: FaultStep | None = None,
        moment: FaultStep = "before",
        latency_s: float = 0.0,
        retry_after_s: int = 1,
        count: int = 1,
        code: int = 0,
        mangled: Corruption = "",
        **params: str,
    ) -> None:
        """The next REST requests of this method and path, with these parameters, get this fault.

        Args:
            method: `POST`, or `*` for any.
            path: Beginning of what follows the account's part; `*` stands for anything: `/Conferences/*/Participants`.
                With `.json` behind it only the list and its creates are meant, with `/*` only single participants.
            status: An error to answer.
            cut: Close the connection without an answer, before or after the effect.
            moment: For `status`: whether the effect takes place all the same (`after`).
            latency_s: Real seconds before anything happens.
            retry_after_s: The header of a 429; 0 leaves it out.
            count: How many requests.
            code: Twilio's code of the error, where it isn't the usual one of `status`.
            mangled: `half`: the answer breaks off in its middle, always after the effect. `html`: a page of a proxy
                comes in its place, with `status`, or with 200 where that is 0.
            params: Values of the request's own parameters; `*` is any, as long as it is sent, and an empty one means
                that it is not sent: `Hold="true"`, `CallToken="*"`, `EndConferenceOnExit=""`.
        """
        when = "after" if mangled == "half" else cut or moment
        plan = RestPlan(latency_s, status, code, cut is not None, when, retry_after_s, mangled)
        self._add_one_shot(f"{path}*", count, params, plan, method)

    def fail_fetches(self, url_part: str, *, status: int = 0, count: int = 1) -> None:
        """The next requests for TwiML to addresses that contain this text fail: with a status, or unconnected (0)."""
        self._add_one_shot(f"*{url_part}*", count, {}, FetchPlan(fails=True, status=status))

    def delay_fetches(self, url_part: str, by_s: float, count: int = 1) -> None:
        """The next requests for TwiML to addresses that contain this text are made so many real seconds later."""
        self._add_one_shot(f"*{url_part}*", count, {}, FetchPlan(delay_s=by_s))

    def clear(self) -> None:
        """No faults from now on: rates to 0, single ones forgotten."""
        self.callback_loss = self.callback_duplication = self.callback_reordering = 0.0
        self.rate_429 = self.rate_500_before = self.rate_500_after = self.cut_before = self.cut_after = 0.0
        self.callback_delay_s = self.latency_s = self.fetch_delay_s = (0.0, 0.0)
        self._one_shots.clear()

    def pending_count(self) -> int:
        """How many single faults were asked for and have not happened."""
        return sum(shot.count for shot in self._one_shots)

    def pending_faults(self) -> list[PendingFault]:
        """The single faults that were asked for and have not happened, in the order in which they are looked for."""
        return [PendingFault(shot.number, _describe(shot), shot.count) for shot in self._one_shots]

    def cancel(self, number: int) -> bool:
        """Take a single fault back; False where it has happened, or there was none."""
        kept = [shot for shot in self._one_shots if shot.number != number]
        is_found = len(kept) < len(self._one_shots)
        self._one_shots[:] = kept
        return is_found

    def rates(self) -> dict[str, float | tuple[float, float]]:
        """The rates and durations that are set, by name."""
        names = [
            it.name for it in fields(self) if not it.name.startswith("_") and it.name not in {"seed", "retry_after_s"}
        ]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (0.0, (0.0, 0.0))}

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        """What becomes of this callback."""
        params = dict(request.params)
        names = (request.event, f"status={params.get('CallStatus', '')}")
        for shot in self._one_shots:
            plan = shot.plan
            if isinstance(plan, CallbackPlan) and self._matches(shot, names, request.params):
                self._use_up(shot)
                return plan
        return CallbackPlan(
            0 if self._happens(self.callback_loss) else 2 if self._happens(self.callback_duplication) else 1,
            self._draw(self.callback_delay_s),
            self._happens(self.callback_reordering),
        )

    def plan_rest(self, method: str, path: str, params: Params = ()) -> RestPlan:
        """What becomes of this REST request."""
        for shot in self._one_shots:
            plan = shot.plan
            if isinstance(plan, RestPlan) and shot.method in ("*", method) and self._matches(shot, (path,), params):
                self._use_up(shot)
                return plan
        latency_s = self._draw(self.latency_s)
        if self._happens(self.rate_429):
            return RestPlan(latency_s, 429, retry_after_s=self.retry_after_s)
        if self._happens(self.rate_500_before):
            return RestPlan(latency_s, 500)
        if self._happens(self.rate_500_after):
            return RestPlan(latency_s, 500, moment="after")
        if self._happens(self.cut_before):
            return RestPlan(latency_s, cuts_connection=True)
        if self._happens(self.cut_after):
            return RestPlan(latency_s, cuts_connection=True, moment="after")
        return RestPlan(latency_s)

    def plan_fetch(self, request: FetchRequest) -> FetchPlan:
        """What becomes of this request for TwiML."""
        for shot in self._one_shots:
            plan = shot.plan
            if isinstance(plan, FetchPlan) and fnmatchcase(request.url, shot.pattern):
                self._use_up(shot)
                return plan
        return FetchPlan(delay_s=self._draw(self.fetch_delay_s))

    def _add_callback_fault(self, event: str, count: int, params: dict[str, str], plan: CallbackPlan) -> None:
        self._add_one_shot(event, count, params, plan)

    def _add_one_shot(
        self,
        pattern: str,
        count: int,
        params: dict[str, str],
        plan: CallbackPlan | RestPlan | FetchPlan,
        method: str = "",
    ) -> None:
        for name in params:
            if not name[0].isupper():  # an argument misspelt, else the fault would never happen
                raise TypeError(f"{name} is no parameter of Twilio's")
        self._next_number += 1
        self._one_shots.append(_OneShot(pattern, count, params, plan, method, self._next_number))

    def _matches(self, shot: _OneShot, names: tuple[str, ...], params: Params) -> bool:
        if not any(fnmatchcase(name, shot.pattern) for name in names):
            return False
        sent = dict(params)
        wanted = shot.params.items()
        return all(value == sent.get(name, "") or (value == "*" and name in sent) for name, value in wanted)

    def _use_up(self, shot: _OneShot) -> None:
        shot.count -= 1
        if shot.count <= 0:
            self._one_shots.remove(shot)

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _draw(self, bounds: tuple[float, float]) -> float:
        return self._random.uniform(*bounds) if bounds[1] > 0 else 0.0


def _describe(shot: _OneShot) -> str:
    of = "".join(f", {name}={value}" for name, value in shot.params.items())
    match shot.plan:
        case CallbackPlan():
            which = "callback" if shot.pattern == "*" else f"{shot.pattern} callback"
            return f"the next {which}{of} {_describe_callback_plan(shot.plan)}"
        case RestPlan():
            method = "" if shot.method == "*" else f"{shot.method} "
            return f"the next request {method}{shot.pattern}{of} {_describe_rest_plan(shot.plan)}"
        case FetchPlan():
            how = "fails" if shot.plan.fails else f"is made {shot.plan.delay_s:g} s later"
            status = f" with HTTP {shot.plan.status}" if shot.plan.status else ""
            return f"the next request for TwiML at {shot.pattern}{of} {how}{status}"


def _describe_callback_plan(plan: CallbackPlan) -> str:
    if plan.copies == 0:
        return "is lost"
    if plan.is_held_back:
        return "is overtaken by the one that follows"
    return f"is sent {plan.delay_s:g} s later" if plan.delay_s else f"is sent {plan.copies} times"


def _describe_rest_plan(plan: RestPlan) -> str:
    when = f"{plan.moment} its effect"
    if plan.cuts_connection:
        return f"is cut off {when}"
    if plan.corruption:
        return "gets half an answer, after its effect" if plan.corruption == "half" else f"gets a proxy's page, {when}"
    if plan.status:
        return f"gets HTTP {plan.status}, {when}"
    return f"is answered {plan.latency_s:g} s later"
