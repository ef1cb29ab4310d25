"""How much CPU time and how long does a webhook process take for a callback, compared with bare aiohttp?"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from benchmarks.support import load
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures, percentile
from benchmarks.support.redis_load import RedisMeter, pinned_client
from benchmarks.support.settings import ACCOUNT_SID, AUTH_TOKEN, CUSTOMER, PUBLIC_URL
from conferral.storage.connection.client import Client
from tests.support.ports import free_port

CONNECTIONS = 32
#: The load for latencies, as a share of each server's own highest rate.
LOADED = 0.8


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    round_s: float
    warm_up_s: float
    calls: int


SIZES = {
    "full": Size(rounds=5, round_s=3.0, warm_up_s=0.5, calls=500),
    "quick": Size(rounds=2, round_s=1.0, warm_up_s=0.3, calls=500),
    "tiny": Size(rounds=1, round_s=0.2, warm_up_s=0.05, calls=10),
}


def requests(calls: int) -> list[bytes]:
    """Return signed callbacks with 25 parameters, for complete calls."""
    statuses = ("initiated", "ringing", "in-progress", "completed")
    return [request(number, sequence, status) for sequence, status in enumerate(statuses) for number in range(calls)]


def request(number: int, sequence: int, status: str) -> bytes:
    """Return one of them."""
    parent, child = f"CA{number:032x}", f"CA{number + (1 << 64):032x}"
    form = {
        "AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", "CallSid": child, "ParentCallSid": parent,
        "Direction": "outbound-dial", "CallbackSource": "call-progress-events", "Caller": CUSTOMER,
        "Called": "+14155550199", "From": CUSTOMER, "To": "+14155550199", "CallStatus": status,
        "SequenceNumber": str(sequence), "Timestamp": f"Fri, 20 Nov 2026 08:00:{sequence:02} +0000",
    }  # fmt: skip
    for side in ("From", "To", "Called"):
        form |= {f"{side}City": "SAN FRANCISCO", f"{side}State": "CA", f"{side}Zip": "94105", f"{side}Country": "US"}
    assert len(form) == 25
    return signed_post(f"/callbacks/call?session={parent}&party=agent&v=1", form)


def signed_post(target: str, form: dict[str, str]) -> bytes:
    """Return a callback as Twilio sends it."""
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    body = urlencode(form).encode()
    head = (
        f"POST {target} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        f"X-Twilio-Signature: {signature}\r\n"
        f"I-Twilio-Idempotency-Token: {form['CallSid']}-{form['SequenceNumber']}\r\n\r\n"
    )
    return head.encode() + body


async def _round(kind: str, port: int, child: Child, client: Client, requests: Sequence[bytes], size: Size,
                 figures: Figures) -> None:  # fmt: skip
    await client.flushall()
    await load.send(port, requests, connections=CONNECTIONS, duration_s=size.warm_up_s)
    meter = RedisMeter(client)
    await meter.start()
    before = await child.used()
    sent, took_s = await load.send(port, requests, connections=CONNECTIONS, duration_s=size.round_s)
    cpu_s = (await child.used())["cpu_s"] - before["cpu_s"]
    redis = await meter.read()
    count = len(sent.latencies_s)
    figures.add(f"{kind}.requests_per_s", count / took_s)
    figures.add(f"{kind}.cpu_us", cpu_s / count * 1e6)
    if kind == "webhooks":
        figures.add("webhooks.redis_us", redis.cpu_s / count * 1e6)
    await client.flushall()
    before = await child.used()
    paced, _ = await load.send(
        port, requests, connections=2 * CONNECTIONS, duration_s=size.round_s, rate_per_s=LOADED * count / took_s
    )
    cpu_s = (await child.used())["cpu_s"] - before["cpu_s"]
    figures.add(f"{kind}.loaded_cpu_us", cpu_s / len(paced.latencies_s) * 1e6)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        figures.add(f"{kind}.loaded_{name}_ms", percentile(paced.latencies_s, share) * 1000)


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between the two servers, which run all the time."""
    ready_made = requests(size.calls)
    figures = Figures()
    ports = {kind: free_port() for kind in ("bare", "webhooks")}
    async with (
        pinned_client() as (redis_url, client),
        Child("bare", port=ports["bare"]) as bare,
        Child("webhooks", port=ports["webhooks"], redis_url=redis_url) as webhooks,
    ):
        for _ in range(size.rounds):
            for kind, child in (("bare", bare), ("webhooks", webhooks)):
                await _round(kind, ports[kind], child, client, ready_made, size, figures)
        for kind, child in (("bare", bare), ("webhooks", webhooks)):
            figures.add(f"{kind}.memory_bytes", (await child.used())["memory_bytes"])
    figures.add_ratio("webhooks.of_bare_cpu_times", "bare.cpu_us", "webhooks.cpu_us")
    figures.add_ratio("webhooks.of_bare_p99_times", "webhooks.loaded_p99_ms", "bare.loaded_p99_ms")
    return figures
