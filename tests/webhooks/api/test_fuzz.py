"""The API against its own description: what it describes is what it does, whatever is sent."""

import asyncio
import json
import sys

import aiohttp
import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.web.server import run_server
from conferral.statemachine.parts import TransferState
from conferral.statemachine.states import Phase, TransferMode
from conferral.storage.queries.session_reader import SessionCursor
from conferral.webhooks.api.app import add_api
from conferral.webhooks.app import make_app
from conferral.webhooks.desk.app import add_desk
from tests.webhooks.api.api_helpers import (
    ALICE,
    BEARER,
    CALLER,
    KEYS,
    TOKEN,
    ask,
    put,
    report_status,
    session,
    settings,
    take_up,
)
from tests.webhooks.webhook_helpers import FakeTwilioQueries, FakeWebhookStore

pytestmark = pytest.mark.redis
PARKED = "CA" + "3" * 32
#: Paths of commands, some of which must be valid.
SUBMITTING = (
    "/sessions", "/sessions/{session}/commands", "/desk/sessions/{session}/commands", "/desk/calls",
    "/desk/parked/{session}/retrieve",
)  # fmt: skip


async def carry_out(store):
    """What a worker does: every command is done, but for those that are rejected or fail."""
    statuses = ["done", "rejected", "failed"]
    number = 0
    while True:
        for command_id in await take_up(store):
            await report_status(store, command_id, statuses[number % 3], "busy")
            number += 1
        await asyncio.sleep(0.005)


def settings_of(folder, desk_token):
    """Ids and cursors of what there is, so that more is seen than that there is none.

    No description can say which text is a cursor, so one which is none may be refused; nor that no destination may be
    named twice, that percent-encoded bytes are UTF-8, that a time has a day of the calendar, nor that a command has one
    id, in its body or in a header.
    """
    named = {
        "destinations": ["client:bob", "+14155550145", "billing", "\u00e4 name"],
        "params": ["name=Ada", "name=Ada+L%C3%B3pez&id=7"],
        "sessions": [CALLER, ALICE],
        "parked": [PARKED],
        "commands": ["c1"],
        "places": [SessionCursor(None, CALLER).text, SessionCursor(7, CALLER).text],
        "entries": ["0-1", "1-1"],
        "nothing": [""],
        "times": ["2100-01-01T00:00:00Z", "2100-02-28T23:59:59.5-11:30"],
        "visible": ["alice", "Ada L\u00f3pez", "\u6ce8\u6587 12"],  # no pattern says which letters show something
    }
    lines = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in named.items()]
    lines += [
        f"[auth.openapi.token]\nbearer = {json.dumps(TOKEN)}",
        f"[auth.openapi.desk]\nbearer = {json.dumps(desk_token)}",
    ]
    lines.append(
        """
        [parameters]
        "path.session" = { dictionary = "sessions", probability = 0.7 }
        "path.command" = { dictionary = "commands", probability = 0.5 }
        "header.Idempotency-Key" = { dictionary = "nothing", probability = 1.0 }
        "body.by" = { dictionary = "visible", probability = 1.0 }
        "body.ref" = { dictionary = "visible", probability = 1.0 }
        "body.deadline" = { dictionary = "times", probability = 1.0 }
        [[operations]]
        include-operation-id = "list_sessions"
        parameters = { "query.cursor" = { dictionary = "places" } }
        checks = { positive_data_acceptance = { expected-statuses = ["200", "422"] } }
        [[operations]]
        include-operation-id = "show_log"
        parameters = { "query.cursor" = { dictionary = "entries" } }
        checks = { positive_data_acceptance = { expected-statuses = ["200", "404", "422"] } }
        [[operations]]
        include-operation-id = "retrieve_parked_call"
        parameters = { "path.session" = { dictionary = "parked", probability = 0.7 } }
        [[operations]]
        include-operation-id = "submit_command"
        parameters = { "body.to" = { dictionary = "destinations" }, "body.params" = { dictionary = "params" } }
        [[operations]]
        include-operation-id = "command_own_call"
        parameters = { "body.to" = { dictionary = "destinations" }, "body.params" = { dictionary = "params" } }
        [[operations]]
        include-operation-id = "call"
        parameters = { "body.params" = { dictionary = "params" } }
        """
    )
    path = folder / "schemathesis.toml"
    path.write_text("\n".join(lines))
    return path


async def run(url, folder, *options):
    async with aiohttp.ClientSession(url) as client:
        status, answer = await ask(client, "POST", "/desk/tokens", headers=BEARER, json={"identity": "alice"})
        assert status == 200, answer
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings_of(folder, answer["token"])),
        "run", f"{url}/openapi.json", "--url", url,
        "--generation-database", "none", "--no-color", "--workers", "1", "--continue-on-failure",
        "--phases", "coverage,fuzzing", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    try:
        reported, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    return program.returncode, reported.decode(errors="replace")


async def fuzzed(store, metrics, folder, seed):
    transfer = TransferState(1, TransferMode.PARK, (), by="api/alice")
    await put(store, session(), session(PARKED, phase=Phase.PARKED, transfer=transfer))
    await store.set(KEYS.call(ALICE), CALLER)
    await store.xadd(KEYS.log(CALLER), {"event": "call_received", "from": "bridged", "to": "bridged", "effects": "[]"})
    await report_status(store, "c1", "done")
    worker = asyncio.create_task(carry_out(store))
    try:
        app = make_app(settings(), FakeWebhookStore(), FakeTwilioQueries(), metrics, SystemClock())
        add_desk(add_api(app, settings(), store, KEYS, metrics, SystemClock()), store, KEYS)
        async with run_server(app, "127.0.0.1", 0, shutdown_s=0.1) as port:
            # A desk's event stream has no end.
            paths = ("--exclude-operation-id", "follow_own_calls")
            return await run(f"http://127.0.0.1:{port}", folder, *paths, "--seed", str(seed), "--max-examples", "200")
    finally:
        worker.cancel()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_sent_the_api_does_what_its_description_says(store, metrics, tmp_path, seed):
    code, answer = await fuzzed(store, metrics, tmp_path, seed)

    assert code == 0, answer
    for path in SUBMITTING:
        labels = {"route": f"POST {path}", "status": "202"}
        assert metrics.registry.get_sample_value("conferral_api_request_seconds_sum", labels), path
