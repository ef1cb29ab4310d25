"""How much CPU time do the webhooks need for a callback, compared with bare aiohttp and an idiomatic handler?"""

# The callbacks are those of a call that an agent's browser answers, and of its conference.

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from urllib.parse import urlencode

from redis.asyncio import Redis
from twilio.request_validator import RequestValidator

from benchmarks.support import load
from benchmarks.support.calls import call_sids
from benchmarks.support.figures import Figures
from benchmarks.support.programs import ACCOUNT_SID, AGENT, AUTH_TOKEN, CUSTOMER, NO_TWILIO, Program, conferral
from tests.support.ports import free_port

CONNECTIONS = 32
STATUSES = ("initiated", "ringing", "in-progress", "completed")
EVENTS = ("participant-join", "conference-start", "participant-hold", "participant-leave", "conference-end")
PUBLIC_URL = "https://example.com"


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    round_s: float
    warm_up_s: float
    calls: int


SIZES = {
    "full": Size(rounds=5, round_s=4.0, warm_up_s=0.5, calls=500),
    "quick": Size(rounds=2, round_s=1.0, warm_up_s=0.3, calls=500),
    "tiny": Size(rounds=1, round_s=0.3, warm_up_s=0.05, calls=10),
}


def request(number: int, sequence: int, status: str) -> bytes:
    """Return a signed callback with 25 parameters, as Twilio sends it."""
    parent, child = call_sids(number)
    form = {
        "AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", "CallSid": child, "ParentCallSid": parent,
        "Direction": "outbound-dial", "CallbackSource": "call-progress-events", "Caller": CUSTOMER,
        "Called": AGENT, "From": CUSTOMER, "To": AGENT, "CallStatus": status,
        "SequenceNumber": str(sequence), "Timestamp": f"Fri, 20 Nov 2026 08:00:{sequence:02} +0000",
    }  # fmt: skip
    for side in ("From", "To", "Called"):
        form |= {f"{side}City": "SAN FRANCISCO", f"{side}State": "CA", f"{side}Zip": "94105", f"{side}Country": "US"}
    assert len(form) == 25
    return _signed(f"/callbacks/call?session={parent}&party=agent&v=1", form, child, sequence)


def conference_request(number: int, sequence: int, event: str) -> bytes:
    """Return a signed callback of the call's conference."""
    parent, child = call_sids(number)
    form = {
        "AccountSid": ACCOUNT_SID, "ConferenceSid": f"CF{number:032x}", "FriendlyName": parent,
        "StatusCallbackEvent": event, "SequenceNumber": str(sequence), "Region": "us1",
        "Timestamp": f"Fri, 20 Nov 2026 08:01:{sequence:02} +0000",
    }  # fmt: skip
    if event.startswith("participant-"):
        form |= {
            "CallSid": child, "ParticipantLabel": "agent", "Muted": "false", "Hold": "false", "Coaching": "false",
            "StartConferenceOnEnter": "true", "EndConferenceOnExit": "false",
        }  # fmt: skip
    if event == "conference-end":
        form |= {"ReasonConferenceEnded": "last-participant-left", "Reason": "Last participant left"}
    return _signed(f"/callbacks/conference?session={parent}&v=1", form, f"CF{number:032x}", sequence)


def _signed(target: str, form: dict[str, str], sid: str, sequence: int) -> bytes:
    signature = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    body = urlencode(form).encode()
    head = (
        f"POST {target} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        f"X-Twilio-Signature: {signature}\r\nI-Twilio-Idempotency-Token: {sid}-{sequence}\r\n\r\n"
    )
    return head.encode() + body


async def _cpu_us(program: Program, port: int, requests: list[bytes], size: Size) -> float:
    await load.send(port, requests, connections=CONNECTIONS, duration_s=size.warm_up_s)
    before = program.cpu_s()
    answered = await load.send(port, requests, connections=CONNECTIONS, duration_s=size.round_s)
    return (program.cpu_s() - before) / answered * 1e6


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Alternate between the three servers, which run all the time."""
    made = [partial(request, sequence=at, status=status) for at, status in enumerate(STATUSES)]
    made += [partial(conference_request, sequence=at, event=event) for at, event in enumerate(EVENTS, 1)]
    requests = [make(number) for make in made for number in range(size.calls)]
    figures = Figures()
    environ = {"REDIS_URL": redis_url, "AUTH_TOKEN": AUTH_TOKEN, "PUBLIC_URL": PUBLIC_URL}
    async with AsyncExitStack() as stack:
        servers = {"webhooks": conferral("webhooks", redis_url, NO_TWILIO, CONFERRAL_PUBLIC_URL=PUBLIC_URL)}
        for kind in ("bare", "idiomatic"):
            command = (sys.executable, "-m", "benchmarks.peers.aiohttp_servers", kind)
            port = free_port()
            servers[kind] = Program(*command, str(port), port=port, **environ)
        for server in servers.values():
            await stack.enter_async_context(server)
        for _ in range(size.rounds):
            for kind, server in servers.items():
                await redis.flushall()
                figures.add(f"{kind}.cpu_us", await _cpu_us(server, server.port, requests, size))
    figures.add_ratio("bare_to_webhooks_times", "bare.cpu_us", "webhooks.cpu_us")
    figures.add_ratio("idiomatic_to_webhooks_times", "idiomatic.cpu_us", "webhooks.cpu_us")
    return figures
