"""What is simulated: how many sessions, how harsh the world is, and the seed from which all chance comes."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Times in virtual seconds, rates from 0 to 1, `_every_s` are means of exponential times, 0 for never."""

    seed: int
    sessions: int = 100
    #: Sessions that begin in a second, on average.
    arrivals_per_s: float = 1.0
    #: How long people talk who hang up by themselves, on average.
    talk_s: float = 45.0
    #: After how long everyone has hung up, whatever happens.
    talk_max_s: float = 240.0

    workers: int = 3
    webhooks: int = 2
    partitions: int = 4
    worker_killed_every_s: float = 5.0
    worker_stopped_every_s: float = 60.0
    worker_paused_every_s: float = 60.0
    #: How long a paused one sleeps, least and most: longer than a lease.
    pause_s: tuple[float, float] = (5.5, 20.0)
    webhooks_killed_every_s: float = 30.0
    #: From a death to the start of the next process, least and most.
    restart_s: tuple[float, float] = (0.2, 2.0)

    callback_loss: float = 0.2
    callback_duplication: float = 0.2
    #: Each callback comes so much later, evenly drawn.
    callback_delay_s: tuple[float, float] = (0.0, 5.0)
    fetch_delay_s: tuple[float, float] = (0.05, 0.4)
    rest_latency_s: tuple[float, float] = (0.02, 0.5)
    rest_429: float = 0.02
    rest_500_before: float = 0.015
    rest_500_after: float = 0.025
    rest_cut_before: float = 0.015
    rest_cut_after: float = 0.025
    #: Answers, each after its effect, that have an odd body, odd headers, or odd dates.
    rest_odd: float = 0.0

    redis_restarted_every_s: float = 300.0
    #: How long it is away then.
    redis_away_s: tuple[float, float] = (0.5, 4.0)
    #: Redis comes back with a copy of itself that is up to a second old.
    redis_loses_writes_every_s: float = 0.0
    #: Commands that are refused before, and answers that are lost after.
    redis_refused: float = 0.0005
    redis_reply_lost: float = 0.0005
    #: Commands that take `redis_slow_s` or less.
    redis_slow: float = 0.02
    redis_slow_s: float = 0.2

    #: The limits of holds and of a call's dials; 0 for none.
    hold_limit_s: float = 10.0
    dials_per_session: int = 10

    #: Browsers whose users have a desk: when they hang up, their leg is lost, and is rung again.
    desks: float = 0.4
    #: Worlds whose callers wait in a queue if no agent takes them.
    queues: float = 0.2

    #: Agents of two numbers whose callers wait in a queue: a world of its own if there are any (count).
    agents: int = 0
    #: How often the browser of each crashes; how long callers wait before they hang up; and the limit of the queue.
    agents_vanish_every_s: float = 300.0
    patience_s: float = 200.0
    queue_limit_s: int = 150

    #: Commands next to those that belong to a flow, sensible or not, for each session on average.
    noise: float = 0.7

    #: Intervals of the sweep in which someone who is alone has to be found (count). After lost callbacks sweeps follow
    #: each other every few seconds, so one is enough, although many die with their workers.
    lone_sweeps: int = 1

    #: How long someone who is not alone may hear no one and nothing, seconds: while a leg is moved, its worker
    #: dies and is replaced, twice; then a read and a repair follow, whose requests fail and are repeated. Or an agent
    #: whose customer has hung up waits for an added party, whose phone rings for up to 30 s, unheard.
    silent_max_s: float = 33.0

    #: One session in so many is decided again from its log (count); 0 for none.
    replayed_every: int = 20

    def changed(self, settings: Iterable[str]) -> "Plan":
        """The plan with other values, each given as `name=value`; two numbers are parted by a comma.

        Raises:
            ValueError: there is no such setting, or that is no value for it.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            kind = type(getattr(self, name, None))
            if kind not in (int, float, tuple):
                raise ValueError(f"no setting of a simulated world: {setting}")
            values[name] = tuple(map(float, text.split(","))) if kind is tuple else kind(text)
        return replace(self, **values)

    def settings(self) -> list[str]:
        """What `changed` has to be given to make this plan of one with the same seed and sessions alone."""
        usual = Plan(seed=self.seed, sessions=self.sessions)
        reported = []
        for one in fields(self):
            value = getattr(self, one.name)
            if value != getattr(usual, one.name):
                reported.append(f"{one.name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
        return reported

    def chance(self, what: str) -> Random:
        """Chance for one thing; what another thing draws changes nothing in it."""
        return Random(f"{self.seed}:{what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongClocks:
    """By how much clocks are ahead of the world's time, seconds; None: of each process by less than two."""

    redis_s: float = 0.0
    workers_s: float | None = None
    twilio_s: float = 0.0


#: What is the harshest world that promises still hold in.
HARSH: dict[str, float] = {
    "worker_killed_every_s": 8.0,  # at most 3.5 s until the next one has its calls
    "worker_paused_every_s": 20.0,
    "webhooks_killed_every_s": 10.0,
    "redis_restarted_every_s": 60.0,
    "redis_refused": 0.005,
    "redis_reply_lost": 0.005,
    "redis_slow": 0.1,
    "callback_loss": 0.4,
    "rest_500_after": 0.08,
    "rest_cut_after": 0.08,
    "noise": 3.0,
    "lone_sweeps": 3,
    "silent_max_s": 90.0,
}
#: Nothing goes wrong: whatever is found then is no matter of faults.
CALM: dict[str, Any] = {
    one.name: (0.0, 0.0) if one.name == "callback_delay_s" else 0.0
    for one in fields(Plan)
    if one.name.startswith(("worker_", "webhooks_killed", "callback_", "rest_4", "rest_5", "rest_cut", "redis_re"))
    or one.name == "redis_slow"
}
