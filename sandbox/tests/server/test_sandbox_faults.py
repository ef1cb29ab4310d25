"""Faults on demand: what is lost, doubled, delayed or cut, by seed or by name."""

from typing import Any

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from model_scenario import BUSINESS, CUSTOMER
from offhook import Faults, RestHookEvent, Sandbox
from offhook.model.behavior import Behavior
from offhook.model.messages import CallbackRequest
from webhook_app import WebhookApp

PAUSE = "<Response><Pause length='600'/></Response>"


def conference(app: WebhookApp) -> str:
    return (
        f"<Response><Dial><Conference waitUrl='' statusCallback='{app.url}/conference' "
        "statusCallbackEvent='start end join leave'>room</Conference></Dial></Response>"
    )


async def test_callback_held_back_is_overtaken_by_the_next(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", conference(app))
    sandbox.faults.hold_back_callbacks("participant-join")

    for number in range(2):
        caller = await sandbox.call_in(f"+1415555012{number}", BUSINESS)
        await sandbox.wait_until(lambda caller=caller: caller.record.conference_sid)
    await sandbox.wait_until(lambda: len(app.events()) == 3)

    numbers = [asked.params["SequenceNumber"] for asked in app.at("/conference")]
    assert numbers.index("1") > numbers.index("2")


@pytest.mark.parametrize(
    ("how", "error", "status", "fault", "calls"),
    [
        pytest.param({"cut": "before"}, aiohttp.ClientError, 0, "cut-before", 0, id="cut before the effect"),
        pytest.param({"status": 500}, TwilioRestException, 500, "500-before", 0, id="500 before the effect"),
        pytest.param(
            {"status": 500, "moment": "after"}, TwilioRestException, 500, "500-after", 1, id="500 after the effect"
        ),
        pytest.param({"cut": "after"}, aiohttp.ClientError, 0, "cut-after", 1, id="cut after the effect"),
        pytest.param({"mangled": "half"}, aiohttp.ClientPayloadError, 201, "half-after", 1, id="half an answer"),
    ],
)
async def test_connection_may_break_before_or_after_the_effect_or_in_the_answer(
    sandbox: Sandbox, twilio: Client, how: dict[str, Any], error: type[Exception], status: int, fault: str, calls: int
) -> None:
    sandbox.faults.next_rest("POST", "/Calls.json", **how)

    with pytest.raises(error):
        await twilio.calls.create_async(to="client:alice", from_=BUSINESS, twiml=PAUSE)

    (entry,) = sandbox.request_log.requests("POST")
    assert (entry.status, entry.applied, entry.fault) == (status, calls == 1, fault)
    assert (len(sandbox.live_calls()), sandbox.request_log.dials_to("client:alice")) == (calls, calls)


@pytest.mark.parametrize(("retry_after_s", "header"), [(3, "3"), (0, None)])
async def test_too_many_requests_may_say_when_to_come_again(
    sandbox: Sandbox, api: aiohttp.ClientSession, retry_after_s: int, header: str | None
) -> None:
    sandbox.faults.next_rest("*", "/Calls", status=429, retry_after_s=retry_after_s)

    async with api.get("Calls.json") as refused:
        body = await refused.json()
    async with api.get("Calls.json") as repeated:
        pass

    assert (refused.status, body["code"], refused.headers.get("Retry-After")) == (429, 20429, header)
    assert repeated.status == 200


@pytest.mark.parametrize(("moment", "calls"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize(("status", "answered"), [(502, 502), (0, 200)])
async def test_page_of_a_proxy_may_come_in_place_of_an_answer(
    sandbox: Sandbox, api: aiohttp.ClientSession, moment: str, calls: int, status: int, answered: int
) -> None:
    sandbox.faults.next_rest("POST", "/Calls.json", mangled="html", status=status, moment=moment)

    form = {"To": "client:alice", "From": BUSINESS, "Twiml": PAUSE}
    async with api.post("Calls.json", data=form) as response:
        assert (response.status, response.content_type) == (answered, "text/html")

    assert len(sandbox.live_calls()) == calls
    assert sandbox.request_log.rest[-1].fault == f"html-{moment}"


async def test_hook_sees_each_request_before_and_after_its_effect(sandbox: Sandbox, twilio: Client) -> None:
    seen: list[tuple[str, str, int]] = []

    async def watch(moment: RestHookEvent) -> None:
        seen.append((moment.step, moment.path, len(sandbox.live_calls())))

    sandbox.on_rest = watch
    await twilio.calls.create_async(to="client:alice", from_=BUSINESS, twiml=PAUSE)

    assert seen == [("before", "/Calls.json", 0), ("after", "/Calls.json", 1)]


def a_callback(number: int) -> CallbackRequest:
    params = (("StatusCallbackEvent", "participant-join"), ("SequenceNumber", str(number)))
    return CallbackRequest("conference", "participant-join", "http://a.example", "POST", params, "CA1")


def test_same_seed_decides_alike() -> None:
    callbacks = {"callback_loss": 0.2, "callback_duplication": 0.2, "callback_reordering": 0.2}
    times = {"callback_delay_s": (0.1, 0.9), "latency_s": (0.0, 0.2)}
    rates = dict.fromkeys(("rate_429", "rate_500_before", "rate_500_after", "cut_before", "cut_after"), 0.1)

    def decide(seed: int) -> list[object]:
        faults = Faults(seed=seed, **callbacks, **times, **rates)
        return [faults.plan_callback(a_callback(it)) for it in range(50)] + [
            faults.plan_rest("POST", "/Calls.json") for _ in range(50)
        ]

    assert decide(7) == decide(7)
    assert decide(7) != decide(8)
    assert {plan.fault for plan in decide(7)} >= {"lost", "doubled", "429", "500-before", "500-after", "cut-after"}


async def test_request_can_be_refused_with_a_code_by_its_own_parameters(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.model.behavior = Behavior(update_before_start="taken")
    conference = twilio.conferences("room").participants
    held = await conference.create_async(to="client:alice", from_=BUSINESS)
    sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", status=400, code=16099, count=2, Hold="true")
    twilio_conference = twilio.conferences(held.conference_sid).participants(held.call_sid)

    await twilio_conference.update_async(muted=True)
    for _ in range(2):
        with pytest.raises(TwilioRestException) as refused:
            await twilio_conference.update_async(hold=True)
        assert (refused.value.status, refused.value.code) == (400, 16099)

    assert (await twilio_conference.update_async(hold=True)).hold is True
    assert not sandbox.faults.pending_faults()


@pytest.mark.parametrize(
    ("fault", "how", "named", "times"),
    [
        ("lose_callbacks", {}, "lost", 0),
        ("duplicate_callbacks", {"copies": 3}, "doubled", 3),
        ("delay_callbacks", {"by_s": 0.02}, "delayed", 1),
    ],
)
async def test_only_the_hold_callback_of_one_call_is_lost(
    app: WebhookApp, sandbox: Sandbox, twilio: Client, fault: str, how: dict[str, float], named: str, times: int
) -> None:
    app.on("/voice", conference(app).replace("join leave", "join leave hold"))
    first, second = [await sandbox.call_in(f"+1415555012{number}", BUSINESS) for number in range(2)]
    await sandbox.wait_until(lambda: all(it.record.activity == "conference" for it in (first, second)))
    getattr(sandbox.faults, fault)("participant-hold", CallSid=second.sid, **how)

    members = twilio.conferences(first.record.conference_sid).participants
    for call in (first, second):
        assert (await members(call.sid).update_async(hold=True)).hold is True
    await sandbox.wait_until_idle()

    holds = [it for it in app.at("/conference") if it.params["StatusCallbackEvent"] == "participant-hold"]
    reported = [it.params["CallSid"] for it in holds]
    assert (reported.count(first.sid), reported.count(second.sid)) == (1, times)
    tokens = {it.headers["I-Twilio-Idempotency-Token"] for it in holds if it.params["CallSid"] == second.sid}
    assert len(tokens) == min(times, 1), "a repetition has the token of the first"
    assert [it.fault for it in sandbox.request_log.callbacks("participant-hold")] == ["", named]


def test_misspelt_argument_of_a_fault_is_refused() -> None:
    with pytest.raises(TypeError, match="hold"):
        Faults().next_rest("POST", "/Calls", status=400, hold="true")


async def test_request_for_twiml_can_be_late(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", PAUSE)
    sandbox.faults.delay_fetches("/voice", by_s=0.05)
    late = await sandbox.call_in(CUSTOMER, BUSINESS)
    prompt = await sandbox.call_in(CUSTOMER, BUSINESS)

    await sandbox.wait_until(lambda: len(app.at("/voice")) == 2)

    assert [asked.params["CallSid"] for asked in app.at("/voice")] == [prompt.sid, late.sid]
