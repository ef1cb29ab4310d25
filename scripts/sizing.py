"""Calculate what an installation carries, from figures and limits."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from benchmarks.support.results import Results
from conferral.runtime.settings import ServiceSettings

#: Assumed: duration of a call in seconds, and the share of calls of each kind. Everything else is measured.
CALL_S = 180
MIX = {"bridged": 0.7, "converted": 0.2, "transferred": 0.1}
#: Calls placed by REST for a call of each kind: a transfer dials its target.
REST_DIALS = {"bridged": 0, "converted": 0, "transferred": 1}
#: Share of its highest rate at which a process may be loaded on average: the other half is for peaks and takeovers.
LOAD_MAX = 0.5
SCALES = (1_000, 10_000, 100_000)
#: Partitions for each worker, so that shares are even.
PARTITIONS_PER_WORKER = 4
#: So that a few workers can be added later: the number can't change.
PARTITIONS_MIN = 16

_CALLS = "https://www.twilio.com/docs/voice/api/call-resource"
_CPS = "https://www.twilio.com/docs/glossary/cps"
_PARTICIPANTS = (
    "https://www.twilio.com/en-us/changelog/queue-time-now-returned-when-creating-new-conference-participant"
)
_CONCURRENCY = (
    "https://support.twilio.com/hc/en-us/articles/223180028-How-Fast-Can-I-Place-or-Receive-Phone-Calls-with-Twilio"
)
_QUEUE = "https://www.twilio.com/en-us/blog/high-volume-voice-considerations"
_TOO_MANY = "https://www.twilio.com/docs/api/errors/20429"
#: Calls per second created by REST: the default, and the most that an account with a Business Profile can set itself.
CPS_DEFAULT, CPS_MOST = 1, 30


@dataclass(frozen=True)
class CallCosts:
    """What one call costs: CPU time of each process, and memory of Redis."""

    callbacks: float
    events: float
    requests: float
    rest_dials: float
    #: At a worker's highest rate.
    worker_us: float
    webhooks_us: float
    #: At half of the workers' highest rate: their smaller commits cost Redis more.
    redis_us: float
    #: Of the ended session, with its whole log.
    session_bytes: float
    #: Of its calls in the index.
    index_bytes: float


@dataclass(frozen=True)
class Costs:
    """What calls cost, and the figures that this was calculated from."""

    #: By kind of call.
    kinds: dict[str, CallCosts]
    #: The average of the mix.
    mix: CallCosts
    #: CPU time for each event of a bridged call, and for each event beyond these.
    event_us: tuple[float, float]
    redis_event_us: tuple[float, float]
    callback_us: float
    redis_callback_us: float
    #: How many times as much CPU an event costs a worker, and Redis, at half of the worker's highest rate.
    small_batches_times: float
    redis_small_batches_times: float
    live_bytes: float
    worker_bytes: float

    @classmethod
    def of(cls, results: Results) -> "Costs | None":
        """Return the costs; None if a figure is missing."""

        def median(benchmark: str, name: str) -> float:
            found = results.figure(benchmark, name)
            if found is None:
                raise KeyError(name)
            return found.median

        def smaller_batches(cost: str) -> float:
            return max(1.0, median("busy", f"load_50.{cost}") / median("busy", f"highest.{cost}"))

        def of_events(count: float, us: tuple[float, float]) -> float:
            ordinary = median("calls", "bridged.events")
            return ordinary * us[0] + (count - ordinary) * us[1]

        try:
            event_us = (median("worker", "ordinary.cpu_us"), median("worker", "conference.cpu_us"))
            redis_event_us = (median("worker", "ordinary.redis_us"), median("worker", "conference.redis_us"))
            callback_us = median("webhooks", "webhooks.loaded_cpu_us")
            redis_callback_us, redis_times = median("webhooks", "webhooks.redis_us"), smaller_batches("redis_us")
            kinds = {}
            for kind in MIX:
                callbacks, events = median("calls", f"{kind}.callbacks"), median("calls", f"{kind}.events")
                kinds[kind] = CallCosts(
                    callbacks=callbacks,
                    events=events,
                    requests=median("calls", f"{kind}.requests"),
                    rest_dials=REST_DIALS[kind],
                    worker_us=of_events(events, event_us),
                    webhooks_us=callbacks * callback_us,
                    redis_us=redis_times * of_events(events, redis_event_us) + callbacks * redis_callback_us,
                    session_bytes=median("calls", f"{kind}.redis_bytes"),
                    index_bytes=median("calls", f"{kind}.index_bytes"),
                )
            averages = {
                one.name: sum(share * getattr(kinds[kind], one.name) for kind, share in MIX.items())
                for one in fields(CallCosts)
            }
            mix = CallCosts(**averages)
            return cls(
                kinds=kinds,
                mix=mix,
                event_us=event_us,
                redis_event_us=redis_event_us,
                callback_us=callback_us,
                redis_callback_us=redis_callback_us,
                small_batches_times=smaller_batches("cpu_us"),
                redis_small_batches_times=redis_times,
                live_bytes=max(median("sessions", "redis_bytes"), mix.session_bytes),
                worker_bytes=median("sessions", "worker_bytes"),
            )
        except KeyError:
            return None


def _concurrent(us_per_call: float) -> float:
    """Return the concurrent calls that a process carries at half of its highest rate."""
    return LOAD_MAX * 1e6 / us_per_call * CALL_S


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}" if count < 100 * size else f"{count / size:,.0f} {unit}"
    return f"{count / 1e3:,.1f} KB"


def _rounded(value: float) -> str:
    """Return two significant digits: the assumptions allow no more."""
    digits = max(0, math.floor(math.log10(value)) - 1) if value > 0 else 0
    return f"{round(value, -digits):,.0f}" if value >= 10 else f"{value:.2g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def assumptions(results: Results) -> str:
    """Return the assumptions, what a call of each kind costs, and how that was calculated."""
    costs = Costs.of(results)
    if costs is None:
        return "Not measured yet."
    mix = ", ".join(f"{share:.0%} {kind}" for kind, share in MIX.items())
    columns = [*costs.kinds.values(), costs.mix]
    rows = [
        ("Callbacks", *(f"{one.callbacks:.1f}" for one in columns)),
        ("Events", *(f"{one.events:.1f}" for one in columns)),
        ("REST requests", *(f"{one.requests:.1f}" for one in columns)),
        ("Of these, dials", *(f"{one.rest_dials:.1f}" for one in columns)),
        ("CPU of a worker", *(f"{one.worker_us / 1e3:.2f} ms" for one in columns)),
        ("CPU of webhooks", *(f"{one.webhooks_us / 1e3:.2f} ms" for one in columns)),
        ("CPU of Redis", *(f"{one.redis_us / 1e3:.2f} ms" for one in columns)),
        ("Redis memory of the session", *(f"{one.session_bytes / 1e3:.1f} KB" for one in columns)),
        ("Redis memory of its calls in the index", *(f"{one.index_bytes:.0f} bytes" for one in columns)),
    ]
    header = ["One call", *costs.kinds, "average"]
    (event, more), (redis_event, redis_more) = costs.event_us, costs.redis_event_us
    return (
        f"A call lasts {CALL_S} s. Of all calls, {mix} (by a consult that is completed). On average, a process is "
        f"loaded to {LOAD_MAX:.0%} of its highest rate.\n\n{table(header, rows)}\n\n"
        f"- **Worker**, at its highest rate: {event:.1f} µs for each event of a bridged call, {more:.1f} µs for each "
        f"further event. At half of its highest rate, it commits smaller batches, so an event costs it "
        f"{costs.small_batches_times:.1f} times as much: its core is busy, although it can decide twice as many "
        f"events.\n"
        f"- **Webhooks**, at 80% of its highest rate: {costs.callback_us:.1f} µs for each callback.\n"
        f"- **Redis**: {redis_event:.1f} µs and {redis_more:.1f} µs for the commit of these events, times "
        f"{costs.redis_small_batches_times:.1f} because of the smaller batches (measured with callbacks that repeat "
        f"what is known), and {costs.redis_callback_us:.1f} µs for the ingest of each callback.\n"
        "- **Memory** of a session is that of an ended one, with its whole log; a live one is taken to need as much."
    )


def capacity(results: Results) -> str:
    """Return what one process of each kind carries."""
    costs = Costs.of(results)
    if costs is None:
        return "Not measured yet."
    rows = [
        ("One worker", costs.mix.worker_us, f"{_bytes(costs.worker_bytes)} of memory for each session in its memory"),
        ("One webhooks process", costs.mix.webhooks_us, "no memory per call"),
        ("One Redis, or one primary of a cluster", costs.mix.redis_us, "that of its sessions and their calls, above"),
    ]  # fmt: skip
    cells = [(name, _rounded(_concurrent(us) / CALL_S), _rounded(_concurrent(us)), memory) for name, us, memory in rows]
    return table(["Process", "Calls per second", "Concurrent calls", "Memory"], cells)


def scale(results: Results) -> str:
    """Return the calculation for each number of concurrent calls."""
    costs = Costs.of(results)
    if costs is None:
        return "Not measured yet."
    columns = [_installation(costs, calls) for calls in SCALES]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return table(["", *(f"{calls:,} concurrent calls" for calls in SCALES)], rows)


def _installation(costs: Costs, calls: int) -> dict[str, str]:
    per_s = calls / CALL_S
    ttl_s, window_s = (int(ServiceSettings.model_fields[name].default) for name in ("session_ttl_s", "replay_window_s"))
    workers = math.ceil(calls / _concurrent(costs.mix.worker_us))
    dials = per_s * costs.mix.rest_dials
    return {
        "New calls per second (concurrent calls / duration)": _rounded(per_s),
        "Callbacks per second (times callbacks per call)": _rounded(per_s * costs.mix.callbacks),
        "Events per second (times events per call)": _rounded(per_s * costs.mix.events),
        "Workers, and one spare": f"{workers} + 1",
        "Webhooks processes, and one spare": f"{math.ceil(calls / _concurrent(costs.mix.webhooks_us))} + 1",
        "Redis primaries, by CPU": f"{math.ceil(calls / _concurrent(costs.mix.redis_us))}",
        "Redis memory, live sessions": _bytes(calls * costs.live_bytes),
        f"Redis memory, ended sessions of {ttl_s // 3600} h (`CONFERRAL_SESSION_TTL`)":
            _bytes(per_s * ttl_s * costs.mix.session_bytes),
        "Redis memory, ended sessions of 1 h": _bytes(per_s * 3600 * costs.mix.session_bytes),
        f"Redis memory, index of the calls of {window_s // 86_400} days (`CONFERRAL_REPLAY_WINDOW`)":
            _bytes(per_s * window_s * costs.mix.index_bytes),
        (f"`CONFERRAL_PARTITIONS`: {PARTITIONS_PER_WORKER} for each worker, at least {PARTITIONS_MIN} "
         "(a multiple of 64 for a cluster)"): str(max(PARTITIONS_MIN, PARTITIONS_PER_WORKER * (workers + 1))),
        "REST requests to Twilio per second": _rounded(per_s * costs.mix.requests),
        "Of these, dials (Twilio's calls per second)": f"{_rounded(dials)}: {_cps(dials)}",
    }  # fmt: skip


def _cps(dials: float) -> str:
    if dials <= CPS_DEFAULT:
        return "the default is enough"
    return "set it in Twilio's Console" if dials <= CPS_MOST else "more than you can set yourself; ask Twilio"


def twilio(_results: Results) -> str:
    """Return Twilio's own limits, with their sources."""
    rows = (
        ("Calls created by REST, each second",
         (f"{CPS_DEFAULT} for each account; up to {CPS_MOST} in the Console with an approved Business Profile; "
          "more are queued"), f"[Calls]({_CALLS})"),
        ("Participants created by REST: transfers, added parties", "count toward the same limit",
         f"[changelog]({_PARTICIPANTS})"),
        ("Inbound calls, and calls placed by `<Dial>`", "not limited by it", f"[glossary]({_CPS})"),
        ("Time that a created call may be queued", "24 h", f"[high-volume voice]({_QUEUE})"),
        ("Concurrent calls", "unlimited with an approved Business Profile; 5 for a trial account",
         f"[support]({_CONCURRENCY})"),
        ("Participants of one conference", "250", f"[support]({_CONCURRENCY})"),
        ("Concurrent REST requests",
         "limited for each account, no number published; excess requests get 429 and are not processed",
         f"[error 20429]({_TOO_MANY})"),
    )  # fmt: skip
    return table(["Limit", "Value", "Source"], rows)
