"""How many callbacks per second can one webhook process answer, compared with a bare aiohttp server?"""

import socket
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from benchmarks import figures, load
from benchmarks.children import Child
from benchmarks.machine import OTHER_CORE, pin, redis_server
from benchmarks.settings import ACCOUNT_SID, AUTH_TOKEN, CUSTOMER, PUBLIC_URL

CONNECTIONS = 32


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int = 3
    round_s: float = 2.5
    warm_up_s: float = 0.5
    calls: int = 500


TINY = Size(rounds=1, round_s=0.2, warm_up_s=0.05, calls=10)


@dataclass
class Measured:
    """The results of one server's rounds."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)


def requests(calls: int) -> list[bytes]:
    """Return signed callbacks with 25 parameters, for complete calls."""
    statuses = ("initiated", "ringing", "in-progress", "completed")
    return [_request(number, sequence, status) for sequence, status in enumerate(statuses) for number in range(calls)]


def _request(number: int, sequence: int, status: str) -> bytes:
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
    target = f"/callbacks/call?session={parent}&party=agent"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    body = urlencode(form).encode()
    head = (
        f"POST {target} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        f"X-Twilio-Signature: {signature}\r\nI-Twilio-Idempotency-Token: {child}-{sequence}\r\n\r\n"
    )
    return head.encode() + body


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def measure(size: Size) -> dict[str, Measured]:
    """Alternate between the two servers, which run all the time."""
    ready_made = requests(size.calls)
    measured = {"bare": Measured(), "webhooks": Measured()}
    ports = {kind: _free_port() for kind in measured}
    with redis_server() as redis, redis.client() as client:
        assert redis.process is not None
        pin(redis.process.pid, OTHER_CORE)
        async with (
            Child("bare", port=ports["bare"]) as bare,
            Child("webhooks", port=ports["webhooks"], redis_url=redis.url) as webhooks,
        ):
            for _ in range(size.rounds):
                for kind, child in (("bare", bare), ("webhooks", webhooks)):
                    client.flushall()
                    await load.send(ports[kind], ready_made, connections=CONNECTIONS, duration_s=size.warm_up_s)
                    before = await child.used()
                    sent, took_s = await load.send(
                        ports[kind], ready_made, connections=CONNECTIONS, duration_s=size.round_s
                    )
                    cpu_s = (await child.used())["cpu_s"] - before["cpu_s"]
                    count = len(sent.latencies_s)
                    measured[kind].rates.append(count / took_s)
                    measured[kind].cpu_us.append(cpu_s / count * 1e6)
                    measured[kind].latencies_s += sent.latencies_s
    return measured


async def report(size: Size) -> None:
    """Measure and print."""
    measured = await measure(size)
    rows = [
        [
            name,
            f"{median(measured[kind].rates):,.0f}",
            f"{median(measured[kind].cpu_us):.1f}",
            *figures.milliseconds(measured[kind].latencies_s),
        ]
        for kind, name in (("bare", "aiohttp, 204 and nothing else"), ("webhooks", "webhooks: checked and stored"))
    ]
    figures.show("one process, 32 connections", ["requests/s", "CPU us/request", *figures.MILLISECONDS], rows)
    print(f"  requests a second, webhooks / bare: {figures.ratio(measured['webhooks'].rates, measured['bare'].rates)}")
    print(f"  CPU a request, webhooks / bare: {figures.ratio(measured['webhooks'].cpu_us, measured['bare'].cpu_us)}")
