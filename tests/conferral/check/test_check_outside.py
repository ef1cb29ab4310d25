"""`check` asks Twilio and the public URL: here a sandbox and webhooks, or whatever else may answer there."""

import time
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from aiohttp import web
from pydantic import SecretStr

from conferral.check.account import check_account, check_round_trip
from conferral.check.result import CheckResult
from conferral.check.workers import check_clocks
from conferral.runtime.settings import ServiceSettings, load
from offhook import ACCOUNT_SID, AUTH_TOKEN, Sandbox
from offhook.model.numbers import Number
from tests.conferral.cli_helpers import SERVICE
from tests.support.local_system import LocalSystem
from tests.support.people import NUMBER

PUBLIC = "https://calls.example.com/base"
KEY = ("SK" + "1" * 32, "key-secret")


def settings_of(sandbox=None, **changes):
    values = {
        **SERVICE,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_NUMBER": NUMBER,
        "CONFERRAL_PUBLIC_URL": PUBLIC,
        "TWILIO_API_URL": sandbox.url if sandbox else "http://127.0.0.1:1",
    }
    return load(ServiceSettings, values | changes)


@pytest.fixture
async def sandbox():
    async with Sandbox(api_keys=dict([KEY])) as it:
        yield it


def add(sandbox, **changes):
    webhooks = {
        "voice_url": f"{PUBLIC}/voice/inbound",
        "voice_fallback_url": f"{PUBLIC}/voice/fallback#rc=2",
        "status_callback": f"{PUBLIC}/voice/status",
    }
    # The sandbox itself refuses an invalid URL, which an account may have.
    sandbox.add_number(NUMBER)
    sandbox.model.state.numbers[NUMBER] = Number(NUMBER, **webhooks | changes)


@pytest.fixture
async def served():
    """Serves whatever a handler answers; gives its URL."""
    runners = []

    async def served(handler):
        async def handle(request):
            return handler(request)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield served
    for runner in runners:
        await runner.cleanup()


async def asked(settings) -> dict[str, CheckResult]:
    lines, _ = await check_account(settings)
    assert NUMBER not in str(lines)
    assert AUTH_TOKEN not in str(lines)
    return {line.name: line for line in lines}


@pytest.mark.parametrize("redis_s, twilio_s, status, found", [
    (0, 0.0, "ok", "Redis and this machine within 3 s of Twilio"),
    (0, None, "ok", "Redis within 3 s of this machine"),
    (100, 100.0, "warn", "this machine is 100 s behind Twilio"),
    (-100, None, "warn", "Redis is 100 s behind this machine"),
    (3_600, -10.0, "warn", "Redis is 3610 s ahead of Twilio; this machine is 10 s ahead of Twilio"),
])  # fmt: skip
async def test_clocks_that_are_apart_are_warned_of(redis_s, twilio_s, status, found):
    answer = [b"", b"0", b"%d" % ((int(time.time()) + redis_s) * 1000 + 500)]
    client = SimpleNamespace(execute_command=AsyncMock(return_value=answer))
    line = await check_clocks(client, "c:config", twilio_s)
    assert (line.status, line.found) == (status, found)


async def test_number_that_leads_here_is_well(sandbox):
    add(sandbox)
    lines = await asked(settings_of(sandbox))
    assert {name: line.status for name, line in lines.items()} == dict.fromkeys(
        (
            "account", "number", "number's fallback", "number's status", "own numbers", "recording",
        ),
        "ok",
    )  # fmt: skip
    for path in ("conference", "handoff?to=client:alice"):
        add(sandbox, voice_url=f"{PUBLIC}/voice/{path}")
        assert (await asked(settings_of(sandbox)))["number"].status == "ok"


async def test_places_that_are_numbers_of_the_account_are_reported(sandbox, tmp_path):
    add(sandbox)
    for number in ("+14155550105", "+14155550106"):
        sandbox.add_number(number, voice_url="")
    directory = tmp_path / "directory.toml"
    directory.write_text("""
[destinations]
desk = "+14155550105"
[inbound."+14155550101"]
agents = ["client:alice", "+14155550106"]
fallback = "+14155550188,voicemail"
""")
    changes = {"CONFERRAL_DIRECTORY": str(directory), "CONFERRAL_TRANSFER_FALLBACK": "desk"}
    found, _ = await check_account(settings_of(sandbox, **changes))
    assert [(line.status, line.found) for line in found if line.name == "own numbers"] == [
        ("fail", "destinations.desk: +…05 is a number in this account"),
        ("fail", "CONFERRAL_TRANSFER_FALLBACK: +…05 is a number in this account"),
        ("fail", 'inbound."+…01": +…06 is a number in this account'),
    ]


@pytest.mark.parametrize(
    ("changes", "name", "status", "expected"),
    [
        (
            {"voice_url": "https://else.example/voice"},
            "number",
            "warn",
            "calls to TWILIO_NUMBER +…00 go to your own app, https://else.example/voice; they reach Conferral only by",
        ),
        ({"voice_url": "https://me:secret@else.example"}, "number", "warn", "https://else.example"),
        ({"voice_url": "https://else.example/a?key=secret"}, "number", "warn", "app, https://else.example/a?…;"),
        # Of an earlier tunnel, or mistyped: meant for Conferral.
        ({"voice_url": "https://old.example/voice/inbound"}, "number", "fail", "go to https://old.example/voice/inb"),
        ({"voice_url": f"{PUBLIC}/inbound"}, "number", "fail", "not here"),
        ({"voice_url": "https://[else"}, "number", "fail", "go to an invalid URL"),
        ({"voice_url": ""}, "number", "fail", "go to nowhere"),
        ({"voice_url": PUBLIC}, "number", "fail", f"go to {PUBLIC}, not here"),
        ({"voice_url": "https://calls.example.com:x/"}, "number", "fail", "not here"),
        ({"voice_method": "GET"}, "number", "fail", "405"),
        ({"voice_application_sid": "AP" + "1" * 32}, "number", "warn", "the TwiML app AP1"),
        ({"voice_fallback_url": ""}, "number's fallback", "warn", "no fallback URL"),
        ({"voice_fallback_url": "https://else.example"}, "number's fallback", "warn", "something else answers"),
        ({"status_callback": ""}, "number's status", "warn", "no status callback"),
    ],
)
async def test_misrouted_number_is_reported_with_a_fix(sandbox, changes, name, status, expected):
    add(sandbox, **changes)
    line = (await asked(settings_of(sandbox)))[name]
    assert (line.status, expected in line.found) == (status, True)
    assert "secret" not in line.found
    assert PUBLIC in line.fix


@pytest.mark.parametrize(
    ("changes", "fallback", "status"),
    [
        (
            {"voice_fallback_url": "https://else.example/f", "status_callback": "https://else.example/s"},
            "nothing if your app needs it; otherwise, set it to",
            "nothing if your app needs it: Conferral then notices some hang-ups up to 2 s later; ",
        ),
        ({"voice_fallback_url": "", "status_callback": ""}, "set it to", "set its status callback to"),
    ],
)
async def test_number_of_another_app_may_keep_its_own_urls(sandbox, changes, fallback, status):
    add(sandbox, voice_url="https://else.example/voice", **changes)
    lines = await asked(settings_of(sandbox))
    for name, begin, path in (("fallback", fallback, "fallback"), ("status", status, "status")):
        fix = lines[f"number's {name}"].fix
        assert fix.startswith(begin), fix
        assert f"{PUBLIC}/voice/{path} (POST)" in fix


async def test_number_of_ours_must_not_keep_the_urls_of_another_app(sandbox):
    add(sandbox, voice_fallback_url="https://else.example/f", status_callback="https://else.example/s")
    lines = await asked(settings_of(sandbox))
    assert lines["number's fallback"].fix == f"set it to {PUBLIC}/voice/fallback (POST)"
    assert lines["number's status"].fix == f"set its status callback to {PUBLIC}/voice/status (POST)"


async def test_recording_of_the_whole_account_is_warned_of(sandbox):
    sandbox.records_all_calls = True
    line = (await asked(settings_of(sandbox)))["recording"]
    assert (line.status, "consults too" in line.found, "docs/flows/recording.md" in line.fix) == ("warn", True, True)


async def test_foreign_number_is_reported_as_a_warning_that_leads_to_why(sandbox):
    sandbox.add_number(f"{NUMBER}0", voice_url=PUBLIC)  # Twilio takes a number for a part of another, too
    line = (await asked(settings_of(sandbox)))["number"]
    assert (line.status, "not a number in this account" in line.found) == ("warn", True)
    assert ("21631" in line.fix, "21649" in line.fix) == (True, True)


async def test_wrong_token_and_wrong_key_fail_each_by_itself(sandbox):
    add(sandbox)
    wrong = await asked(settings_of(sandbox, TWILIO_AUTH_TOKEN="wrong"))
    assert (wrong["account"].status, wrong["number"].status) == ("fail", "warn")
    assert "TWILIO_AUTH_TOKEN" in wrong["account"].found
    with_key = {"TWILIO_API_KEY": KEY[0], "TWILIO_API_SECRET": KEY[1]}
    assert (await asked(settings_of(sandbox, **with_key)))["number"].status == "ok"
    half = await asked(settings_of(sandbox, **with_key | {"TWILIO_API_SECRET": "wrong"}))
    assert (half["account"].status, half["number"].status) == ("ok", "fail")
    assert "TWILIO_API_KEY" in half["number"].found


@pytest.mark.parametrize(
    ("changes", "status", "named"),
    [
        ({"status": "suspended", "type": "Trial"}, "fail", {"suspended"}),
        ({"status": "closed", "type": "Trial"}, "fail", {"closed"}),
        ({"type": "Trial"}, "warn", {"trial"}),
        # A new account is shown its call limit.
        ({"date_created": "Mon, 02 Feb 2026 23:59:59 +0000"}, "ok", set()),
        ({"date_created": "Tue, 03 Feb 2026 00:00:00 +0000"}, "warn", {"10004", "16021"}),
        ({"date_created": "soon"}, "ok", set()),
        ({"date_created": None}, "ok", set()),
    ],
)
async def test_account_that_is_not_as_it_should_be(served, changes, status, named):
    answer = {"sid": ACCOUNT_SID, "status": "active", "type": "Full"} | changes
    url = await served(lambda _request: web.json_response(answer))
    line = (await asked(settings_of(TWILIO_API_URL=url)))["account"]
    words = {"suspended", "closed", "trial", "10004", "16021"}
    assert (line.status, {word for word in words if word in line.found}) == (status, named)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (web.json_response({"code": 20404}, status=404), "has no such resource (404)"),
        (web.Response(status=404), "has no such resource (404)"),
        (web.Response(status=503), "HTTP 503"),
        (web.Response(status=429), "HTTP 429"),
        (web.json_response({"status": 7}), "unreadable answer"),
    ],
)
async def test_rest_api_that_does_not_say_is_warned_of(served, answer, found):
    url = await served(lambda _request: web.Response(status=answer.status, body=answer.body))
    lines = await asked(settings_of(TWILIO_API_URL=url))
    assert lines["account"].status == lines["number"].status == "warn"
    assert found in lines["account"].found


# ---- the round trip ----------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_webhooks_that_run_by_the_same_settings_take_what_is_signed(redis_server):
    async with LocalSystem(redis_server.url, workers=0) as system:
        line = await check_round_trip(system.settings)
        assert (line.status, f"{system.public_url}/voice/announcement" in line.found) == ("ok", True)
        # Nothing came of it.
        assert await system.client.keys("*events*") == []
        lines = await asked(system.settings)
        assert {one.status for one in lines.values()} == {"ok"}

        for name, value in (("auth_token", SecretStr("another")), ("account_sid", "AC" + "2" * 32)):
            other = await check_round_trip(system.settings.model_copy(update={name: value}))
            assert other.status == "fail"
            assert "TWILIO_AUTH_TOKEN as here" in other.fix
            assert "another" not in str(other)


@pytest.mark.parametrize("status", [200, 301, 404, 502])
async def test_other_server_at_the_public_url_is_reported(served, status):
    headers = {"Location": "http://127.0.0.1:1/"} if status == 301 else None
    url = await served(lambda _request: web.Response(status=status, headers=headers))
    line = await check_round_trip(settings_of(CONFERRAL_PUBLIC_URL=url))
    assert (line.status, f"(HTTP {status})" in line.found) == ("fail", True)


async def test_public_url_that_is_out_of_reach_is_warned_of_without_its_password():
    url = "http://me:secret@127.0.0.1:1"
    line = await check_round_trip(settings_of(CONFERRAL_PUBLIC_URL=url))
    assert (line.status, "secret" in str(line)) == ("warn", False)


# ---- the command -------------------------------------------------------------------------------------------------


@pytest.mark.redis
def test_sources_of_settings_are_shown_and_never_their_values(run, redis, tmp_path):
    file = "CONFERRAL_API_TOKEN=hidden-word-of-the-file\nCONFERRAL_PREFIX=other\nconferral_ring_tmeout=3\nEMPTY=\n"
    (tmp_path / ".env").write_text(file)
    (tmp_path / ".env").chmod(0o666)
    ran = run("check", "--offline", "--json", **SERVICE, CONFERRAL_PREFIX="mine")
    lines = {line["name"]: line for line in ran.json}
    environment, _, rest = lines["sources"]["found"].partition("; .env: ")
    assert environment.startswith("environment: CONFERRAL_AGENT, CONFERRAL_PREFIX, ")
    assert rest == "CONFERRAL_API_TOKEN; all others: default"
    assert (lines["overridden"]["status"], "CONFERRAL_PREFIX" in lines["overridden"]["found"]) == ("warn", True)
    assert lines["unknown"]["found"].startswith("CONFERRAL_RING_TMEOUT (did you mean CONFERRAL_RING_TIMEOUT?): ")
    assert (lines["environment file"]["status"], lines["environment file"]["fix"]) == ("warn", "chmod go-w .env")
    assert "hidden" not in ran.out
