"""The sandbox's own routes, for people and other processes."""

import io
from typing import Any

import aiohttp
import pytest

from control_client import Control
from model_scenario import BUSINESS, CUSTOMER
from offhook import Sandbox
from webhook_app import WebhookApp


async def test_call_is_placed_answered_and_hung_up_from_outside(
    bridging: WebhookApp, sandbox: Sandbox, control: Control
) -> None:
    status, caller = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    assert (status, caller["status"], caller["direction"]) == (201, "ringing", "inbound")
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    alice = sandbox.calls_of("client:alice")[0].sid

    _, answered = await control.post(f"/calls/{alice}/answer")
    assert (answered["status"], answered["hears"], answered["activity"]) == ("in-progress", caller["sid"], "bridged")
    answered_s = sandbox.now_s
    await sandbox.wait_until(lambda: sandbox.now_s > answered_s)  # hearing that lasts no time is not listed
    await control.post(f"/calls/{alice}/hangup")
    await sandbox.wait_until(lambda: not sandbox.live_calls())

    assert (await control.get("/calls?live=true"))["calls"] == []
    assert [it["sid"] for it in (await control.get("/calls"))["calls"]] == [caller["sid"], alice]
    heard = (await control.get(f"/hearing?call={alice}"))["hearing"][alice]
    assert heard[0]["parties"] == [caller["sid"]]


async def test_act_without_effect_is_refused(bridging: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    _, caller = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    callee = sandbox.calls_of("client:alice")[0].sid

    async def refusal(sid: str, act: str, **body: str) -> tuple[int, str]:
        status, answer = await control.post(f"/calls/{sid}/{act}", **body)
        return status, answer["error"]

    assert await refusal(callee, "press", digits="1") == (422, "can't press keys: the call is ringing")
    assert await refusal(caller["sid"], "answer") == (422, "can't answer: the call comes from this phone")
    await control.post(f"/calls/{callee}/hangup")
    for act, named in (("hangup", "hang up"), ("speak", "speak"), ("reject", "decline")):
        assert await refusal(callee, act) == (422, f"can't {named}: the call is no-answer")


async def test_numbers_and_phones_are_set_up_from_outside(
    bridging: WebhookApp, sandbox: Sandbox, control: Control
) -> None:
    await control.post("/numbers", number="+15550199", voice_url=f"{bridging.url}/voice")
    await control.post("/phones", address="client:alice", answer_after_s=0.1, hang_up_after_s=0.5)

    _, caller = await control.post("/calls", **{"from": CUSTOMER, "to": "+15550199"})
    await sandbox.wait_until(lambda: sandbox.call(caller["sid"]).status == "completed")

    assert sandbox.calls_of("client:alice")[0].status == "completed"


async def test_request_log_is_shown(app: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    app.on("/voice", "<Response><Dial><Conference participantLabel='a'>room</Conference></Dial></Response>")
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await sandbox.wait_until(lambda: sandbox.model.state.conferences)

    log = await control.get("/requests")

    assert log["deliveries"][0]["url"] == f"{app.url}/voice"
    assert log["deliveries"][0]["attempts"][0]["status"] == 200


async def test_debugger_lists_errors_and_warnings(app: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    app.on("/voice", "<Response><Echo/><Say volume='3'>Hi</Say></Response>")
    _, caller = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await sandbox.wait_until(lambda: len(sandbox.request_log.debugger) == 2)

    alerts = (await control.get("/debugger"))["alerts"]

    assert [(it["level"], it["code"], it["call_sid"]) for it in alerts] == [
        ("warning", 0, caller["sid"]),
        ("warning", 12200, caller["sid"]),
    ]
    assert set(alerts[0]) == {"at", "level", "code", "message", "call_sid", "url"}
    assert alerts[0]["at"].startswith("20")


async def test_accounts_configuration_has_no_other_parameters(sandbox: Sandbox, api: aiohttp.ClientSession) -> None:
    async with api.get(f"{sandbox.url}/v1/Webhooks/Rules?Nonsense=1&pageSize=5") as answer:
        assert answer.status == 200
    (entry,) = sandbox.request_log.debugger
    assert entry.message.startswith("Nonsense of GET /v1/Webhooks/Rules is ignored")


async def test_bot_hands_over_as_its_script_says(app: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    app.on(
        "/voice", "<Response><Connect action='/over'><ConversationRelay url='wss://bot.example'/></Connect></Response>"
    )
    app.on("/over", "<Response><Hangup/></Response>")
    await control.post("/bots", says=["Hello"], handoff_data={"to": "client:alice", "brief": "Ms. Doe"})
    _, caller = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await sandbox.wait_until(lambda: sandbox.call(caller["sid"]).status == "completed")

    assert app.at("/over")[0].params["HandoffData"] == '{"to": "client:alice", "brief": "Ms. Doe"}'


async def test_reset_forgets_calls_and_keeps_numbers(bridging: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})

    _, body = await control.post("/reset")

    assert body == {"numbers": [BUSINESS]}
    assert (await control.get("/calls"))["calls"] == []
    assert sandbox.request_log.deliveries == []
    status, _ = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    assert status == 201


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("/calls", {"from": CUSTOMER}, 422, "to: Field required"),
        ("/calls", {"from": CUSTOMER, "to": "+15559999"}, 404, "+15559999"),
        ("/calls", {"from": CUSTOMER, "to": BUSINESS, "custom": "x"}, 422, "custom: "),
        ("/calls/CA1/answer", {}, 404, "CA1"),
        ("/browser-calls", {"to": "client:b"}, 422, "identity: "),
        ("/numbers", {"number": "+1", "voice_url": "http://a", "colour": "red"}, 422, "colour"),
        ("/phones", {"address": "client:a", "outcome": "sings"}, 422, "outcome: "),
        ("/phones", {"address": "client:a", "keys": "1"}, 422, "keys: "),
        ("/phones", {"address": "client:a", "kind": "parrot"}, 422, "kind: "),
        ("/phones", {"address": "alice", "keys": ["1"]}, 422, "no phone has the address 'alice'"),
        ("/phones", {"address": BUSINESS, "keys": ["1"]}, 422, f"{BUSINESS} is a number of the account"),
        ("/phones", {"address": "client:a", "outcome": "busy", "digits": "1"}, 422, "can't act"),
        ("/phones", {"address": "client:a", "times": 0}, 422, "times: "),
        (
            "/phones",
            {"address": "client:a", "answer_after": 1},
            422,
            "answer_after: no such field: there are address, ",
        ),
        ("/bots", {"ends": "never"}, 422, "ends: "),
        (
            "/numbers",
            {"number": "14155550199"},
            422,
            "'14155550199' is neither a number, such as +14155550100, nor a SIP",
        ),
        ("/numbers", {"number": "+15550199", "voice_url": "localhost:5000/voice"}, 422, "voice_url: 'localhost:5000"),
        (
            "/numbers",
            {"number": "+15550199", "status_callback": "/status"},
            422,
            "status_callback: '/status' is no URL",
        ),
        ("/calls", {"from": "(202) 555-0123", "to": BUSINESS}, 422, "lacks its country"),
        ("/calls", {"from": CUSTOMER, "to": BUSINESS, "url": "ftp://x/"}, 422, "url: 'ftp://x/' is no URL"),
        ("/webhook-rules", {"url": "nonsense", "settings": [{}]}, 422, "url: 'nonsense' is no URL"),
        ("/numbers", {"number": ""}, 422, "number: must not be empty"),
        ("/calls", {"from": CUSTOMER, "to": "\ud800"}, 422, "to: must be a text"),
        ("/phones", {"address": "client:a", "answer_after_s": float("nan")}, 422, "answer_after_s: must be a number"),
        ("/phones", {"address": "client:a", "by_hand": 1}, 422, "by_hand: must be true or false"),
        (
            "/webhook-rules",
            {"settings": [{"colour": "red"}]},
            422,
            "settings.0.colour: no such field: there are key_id",
        ),
        ("/faults", {"latency_s": [1]}, 422, "latency_s: must have 2 entries"),
        ("/faults", {"callback_loss": "much"}, 422, "callback_loss: "),
        ("/faults", {"rate_429": 1.5}, 422, "rate_429: "),
        ("/faults", {"cut_after": -0.1}, 422, "cut_after: "),
        ("/faults", {"clear": True}, 422, "clear: "),
        ("/faults", {"once": [5]}, 422, "once"),
        ("/faults", {"once": [{"what": "magic"}]}, 422, "magic"),
        ("/faults", {"once": [{"what": "next_rest", "method": "*", "path": "/", "wrong": 1}]}, 422, "wrong"),
        ("/faults", {"once": [{"what": "delay_callbacks", "event": "*", "by_s": "x"}]}, 422, "by_s: "),
        ("/faults", {"once": [{"what": "next_rest", "method": "*", "path": "/", "cut": "between"}]}, 422, "cut: "),
        ("/faults", {"once": [{"what": "lose_callbacks", "event": "*", "To": 5}]}, 422, "To: "),
    ],
)
async def test_invalid_control_request_names_the_error(
    control: Control, path: str, body: dict[str, Any], status: int, named: str
) -> None:
    got, answer = await control.post(path, **body)

    assert got == status
    assert named in answer["error"]


async def test_rate_may_be_one_and_a_delay_longer(sandbox: Sandbox, control: Control) -> None:
    status, _ = await control.post("/faults", rate_429=1, latency_s=[1.5, 2])
    assert (status, sandbox.faults.rates()) == (200, {"latency_s": (1.5, 2.0), "rate_429": 1.0})


async def test_openapi_describes_the_routes_and_their_bodies(sandbox: Sandbox, control: Control) -> None:
    described = await control.get("/openapi.json")

    paths, schemas = described["paths"], described["components"]["schemas"]
    assert {"get", "post", "delete"} == set(paths["/sandbox/faults"])
    assert {"/sandbox/requests", "/sandbox/openapi.json", "/sandbox/calls/{sid}/press"} <= set(paths)

    def body(path: str) -> dict[str, Any]:
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert set(body("/sandbox/calls")["required"]) == {"from", "to"}
    assert body("/sandbox/calls/{sid}/press")["required"] == ["digits"]
    assert "busy" in str(body("/sandbox/phones")["properties"]["outcome"])
    assert body("/sandbox/bots")["additionalProperties"] is False
    assert body("/sandbox/webhook-rules")["properties"]["settings"]["items"]["$ref"].rpartition("/")[2] in schemas
    assert "requestBody" not in paths["/sandbox/faults"]["delete"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_body_that_is_no_json_is_named(sandbox: Sandbox, body: bytes) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{sandbox.url}/sandbox/calls", data=body) as answer:
        assert (answer.status, "Invalid JSON" in (await answer.json())["error"]) == (400, True)


@pytest.mark.parametrize("path", ["/sandbox/calls", "/2010-04-01/Accounts/{}/Calls.json"])
async def test_body_that_is_too_large_is_refused_in_json(
    sandbox: Sandbox, api: aiohttp.ClientSession, path: str
) -> None:
    url = f"{sandbox.url}{path.format(sandbox.account_sid)}"
    async with api.post(url, data=io.BytesIO(b"x" * 2**21)) as answer:
        assert (answer.status, "1,048,576 bytes" in (await answer.json())["error"]) == (413, True)


def test_sandbox_that_others_reach_needs_the_names_that_they_use() -> None:
    with pytest.raises(ValueError, match="name the hosts that clients use"):
        Sandbox(host="0.0.0.0")


async def test_sids_are_new_in_each_run_unless_a_seed_is_given() -> None:
    async def first_sid(seed: str | None) -> str:
        async with Sandbox(seed=seed) as sandbox:
            sandbox.add_number(BUSINESS)
            return (await sandbox.call_in(CUSTOMER, BUSINESS)).sid

    assert await first_sid(None) != await first_sid(None)
    assert await first_sid("a") == await first_sid("a")


async def test_text_message_from_a_phone_reaches_the_application(
    app: WebhookApp, sandbox: Sandbox, control: Control
) -> None:
    await control.post("/numbers", number="+12025550100", sms_url=f"{app.url}/sms")
    text = {"from": CUSTOMER, "to": "+12025550100", "body": "Hi"}
    assert (await control.post("/messages", **text))[0] == 201
    await sandbox.wait_until(lambda: app.at("/sms"))
    assert app.at("/sms")[0].params["Body"] == "Hi"
    assert app.at("/sms")[0].is_signed
    assert [(await control.post("/messages", **given))[0] for given in (text | {"to": "+1"}, {"from": "+1"})] == [
        404,
        422,
    ]
