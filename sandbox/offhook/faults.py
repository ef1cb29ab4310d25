"""Fault injection: one-shot faults first, then random faults by rate."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Literal, TypeVar

from offhook.fields import NOT_EMPTY, at_least, at_most
from offhook.model.messages import CallbackRequest, FetchRequest, Params

FaultMoment = Literal["before", "after"]
Corruption = Literal["", "half", "html"]
_Count = Annotated[int, at_least(0)]
Seconds = Annotated[float, at_least(0)]
Text = Annotated[str, NOT_EMPTY]
_Status = Annotated[int, at_least(0), at_most(599)]

ONE_SHOT_FAULTS = (
    "lose_callbacks", "duplicate_callbacks", "delay_callbacks", "hold_back_callbacks",
    "next_rest", "fail_fetches", "delay_fetches",
)  # fmt: skip
"""Methods of `Faults` for the next match."""


@dataclass(frozen=True, slots=True)
class CallbackPlan:
    """What happens to one callback; it is sent `copies` times (0: lost)."""

    copies: int = 1
    delay_s: float = 0.0
    is_held_back: bool = False  #: Sent only after the next callback.

    @property
    def fault(self) -> str:
        """The fault's name in the request log."""
        if self.copies == 0:
            return "lost"
        if self.copies > 1:
            return "doubled"
        return "held-back" if self.is_held_back else "delayed" if self.delay_s else ""


@dataclass(frozen=True, slots=True)
class RestPlan:
    """What happens to one REST request."""

    latency_s: float = 0.0
    status: int = 0  #: HTTP status of an injected error; 0 for none.
    code: int = 0  #: Twilio's error code; 0 for the usual one of its status.
    cuts_connection: bool = False  #: Without a response.
    moment: FaultMoment = "before"  #: Whether the error or the cut occurs before or after the request takes effect.
    retry_after_s: int = 1
    corruption: Corruption = ""  #: `half`: truncated, after the effect; `html`: a proxy's error page instead.

    @property
    def fault(self) -> str:
        """The fault's name in the request log."""
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
    """What happens to a request for TwiML: a delay, or a failure."""

    fails: bool = False
    status: int = 0  #: HTTP status of the injected failure; 0: no connection.
    delay_s: float = 0.0


Plan = TypeVar("Plan", CallbackPlan, RestPlan, FetchPlan)


@dataclass(slots=True)
class _OneShot:
    """A one-shot fault for the next `count` matching requests."""

    pattern: str  #: Of a callback's event, a REST path, or the URL of TwiML.
    count: int
    params: dict[str, str]
    plan: CallbackPlan | RestPlan | FetchPlan
    method: str = ""
    number: int = 0  #: Identifies it while it is pending.


@dataclass(slots=True, kw_only=True)
class Faults:
    """Seeded rates (0 to 1) and delays (real seconds), changeable at any time."""

    seed: int = 0
    callback_loss: float = 0.0
    callback_duplication: float = 0.0
    callback_reordering: float = 0.0
    callback_delay_s: tuple[float, float] = (0.0, 0.0)  #: Minimum and maximum.
    fetch_delay_s: tuple[float, float] = (0.0, 0.0)  #: Of requests for TwiML; the real Twilio takes about 0.3 s.
    latency_s: tuple[float, float] = (0.0, 0.0)  #: Of REST responses.
    rate_429: float = 0.0
    rate_500_before: float = 0.0
    rate_500_after: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    retry_after_s: int = 1  #: `Retry-After` of a 429, in seconds.
    _random: Random = field(init=False, repr=False)
    _one_shots: list[_OneShot] = field(default_factory=list, repr=False)
    _next_number: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311  faults must be repeatable, not secret

    def lose_callbacks(self, event: str, count: _Count = 1, **params: str) -> None:
        """Never send the next callbacks of this event with these parameters.

        `event` is Twilio's name (`participant-join`, `completed`), `status=busy` for a call's status, or `*`.
        """
        self._add_one_shot(event, count, params, CallbackPlan(copies=0))

    lose_callback = lose_callbacks  #: Reads better for one.

    def duplicate_callbacks(self, event: str, count: _Count = 1, *, copies: _Count = 2, **params: str) -> None:
        """Send the next callbacks of this event several times."""
        self._add_one_shot(event, count, params, CallbackPlan(copies=copies))

    def delay_callbacks(self, event: str, by_s: Seconds, count: _Count = 1, **params: str) -> None:
        """Delay the next callbacks of this event, in real seconds."""
        self._add_one_shot(event, count, params, CallbackPlan(delay_s=by_s))

    def hold_back_callbacks(self, event: str, count: _Count = 1, **params: str) -> None:
        """Send each of the next callbacks only after the one that follows."""
        self._add_one_shot(event, count, params, CallbackPlan(is_held_back=True))

    def next_rest(
        self,
        method: str,
        path: str,
        *,
        status: _Status = 0,
        cut: FaultMoment | None = None,
        moment: FaultMoment = "before",
        latency_s: Seconds = 0.0,
        retry_after_s: _Count = 1,
        count: _Count = 1,
        code: _Count = 0,
        mangled: Corruption = "",
        **params: str,
    ) -> None:
        """Inject this fault into the next REST requests that match.

        Args:
            method: `POST`, or `*` for any.
            path: Prefix of the path after the account; `*` matches anything. `/Conferences/*/Participants` matches
                all requests about participants, with `.json` at the end only the list and its creates, with `/*` only
                those about a single one.
            cut: Close the connection before or after the request takes effect; `moment` does not apply.
            moment: For `status`: whether the request takes effect first (`after`).
            latency_s: Real seconds.
            retry_after_s: Of a 429; 0 omits the header.
            mangled: `half`: the response is truncated, always after the effect. `html`: a proxy's page replaces it,
                with `status`, or with 200 if that is 0.
            params: Of the request. `*` matches any value that is sent; an empty value matches a missing parameter:
                `Hold="true"`, `CallToken="*"`, `EndConferenceOnExit=""`.
        """
        when = "after" if mangled == "half" else cut or moment
        plan = RestPlan(latency_s, status, code, cut is not None, when, retry_after_s, mangled)
        self._add_one_shot(f"{path}*", count, params, plan, method)

    def fail_fetches(self, url_part: str, *, status: _Status = 0, count: _Count = 1) -> None:
        """Fail the next requests for TwiML to URLs with this text."""
        self._add_one_shot(f"*{url_part}*", count, {}, FetchPlan(fails=True, status=status))

    def delay_fetches(self, url_part: str, by_s: Seconds, count: _Count = 1) -> None:
        """Delay the next TwiML requests to URLs with this text, in real seconds."""
        self._add_one_shot(f"*{url_part}*", count, {}, FetchPlan(delay_s=by_s))

    def clear(self) -> None:
        """Remove all faults: rates become 0, and one-shot faults are dropped."""
        for rate in RATES:
            setattr(self, rate.name, rate.default)
        self._one_shots.clear()

    def pending_faults(self) -> list[dict[str, int | str]]:
        """Return the pending one-shot faults in order of precedence."""
        return [{"number": shot.number, "words": _describe(shot), "count": shot.count} for shot in self._one_shots]

    def cancel(self, number: int) -> bool:
        """Cancel a one-shot fault; False if it is not pending."""
        kept = [shot for shot in self._one_shots if shot.number != number]
        is_found = len(kept) < len(self._one_shots)
        self._one_shots[:] = kept
        return is_found

    def rates(self) -> dict[str, float | tuple[float, float]]:
        """Return the nonzero rates and delays by name."""
        values = {rate.name: getattr(self, rate.name) for rate in RATES}
        return {name: value for name, value in values.items() if value not in (0.0, (0.0, 0.0))}

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        """Decide what happens to this callback, by one-shot fault or chance."""
        params = dict(request.params)
        names = (request.event, f"status={params.get('CallStatus', '')}")
        if plan := self._take(CallbackPlan, lambda shot: self._matches(shot, names, request.params)):
            return plan
        return CallbackPlan(
            0 if self._occurs(self.callback_loss) else 2 if self._occurs(self.callback_duplication) else 1,
            self._random_delay_s(self.callback_delay_s),
            self._occurs(self.callback_reordering),
        )

    def plan_rest(self, method: str, path: str, params: Params = ()) -> RestPlan:
        """Decide what happens to this REST request, by one-shot fault or chance."""
        plan = self._take(RestPlan, lambda shot: shot.method in ("*", method) and self._matches(shot, (path,), params))
        if plan:
            return plan
        latency_s = self._random_delay_s(self.latency_s)
        plans = (
            (self.rate_429, RestPlan(latency_s, 429, retry_after_s=self.retry_after_s)),
            (self.rate_500_before, RestPlan(latency_s, 500)),
            (self.rate_500_after, RestPlan(latency_s, 500, moment="after")),
            (self.cut_before, RestPlan(latency_s, cuts_connection=True)),
            (self.cut_after, RestPlan(latency_s, cuts_connection=True, moment="after")),
        )
        return next((plan for rate, plan in plans if self._occurs(rate)), RestPlan(latency_s))

    def plan_fetch(self, request: FetchRequest) -> FetchPlan:
        """Decide what happens to this TwiML request, by one-shot fault or chance."""
        plan = self._take(FetchPlan, lambda shot: fnmatchcase(request.url, shot.pattern))
        return plan or FetchPlan(delay_s=self._random_delay_s(self.fetch_delay_s))

    def _add_one_shot(
        self,
        pattern: str,
        count: int,
        params: dict[str, str],
        plan: CallbackPlan | RestPlan | FetchPlan,
        method: str = "",
    ) -> None:
        """Add a fault for the next `count` requests that match."""
        for name in params:
            if not name[0].isupper():  # a misspelled argument would never match a request
                raise TypeError(f"{name} is no parameter of Twilio's")
        self._next_number += 1
        self._one_shots.append(_OneShot(pattern, count, params, plan, method, self._next_number))

    def _matches(self, shot: _OneShot, names: tuple[str, ...], params: Params) -> bool:
        if not any(fnmatchcase(name, shot.pattern) for name in names):
            return False
        sent = dict(params)
        wanted = shot.params.items()
        return all(value == sent.get(name, "") or (value == "*" and name in sent) for name, value in wanted)

    def _take(self, kind: type[Plan], matches: Callable[[_OneShot], bool]) -> Plan | None:
        """Return the plan of the first matching one-shot fault, and use it once."""
        for shot in self._one_shots:
            if isinstance(shot.plan, kind) and matches(shot):
                shot.count -= 1
                if shot.count <= 0:
                    self._one_shots.remove(shot)
                return shot.plan
        return None

    def _occurs(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _random_delay_s(self, least_and_most_s: tuple[float, float]) -> float:
        return self._random.uniform(*least_and_most_s) if least_and_most_s[1] > 0 else 0.0


RATES = tuple(it for it in fields(Faults) if not it.name.startswith("_") and it.name not in {"seed", "retry_after_s"})


def _describe(shot: _OneShot) -> str:
    with_params = "".join(f", {name}={value}" for name, value in shot.params.items())
    changed = {
        it.name: getattr(shot.plan, it.name) for it in fields(shot.plan) if getattr(shot.plan, it.name) != it.default
    }
    what = ", ".join(f"{name} {value}" for name, value in changed.items())
    return f"{shot.method} {shot.pattern}{with_params}: {what}".lstrip()
