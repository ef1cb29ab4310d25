"""`conferral canary`, with the sandbox as the account."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import pytest

from conferral.canary.findings import BEHAVIORS
from conferral.canary.flows import FLOWS
from conferral.canary.numbers import CanaryNumbers
from conferral.canary.run import check_numbers, run_canary
from conferral.canary.trace import trace_of
from conferral.check.canary import check_canary
from conferral.operations.errors import CommandNotDoneError
from conferral.storage.checks import CANARY as KIND
from conferral.storage.checks import CanaryLock, read_check
from offhook.model.behavior import Behavior
from tests.conferral.cli_helpers import SERVICE, process_variables, start, until
from tests.support.canary_system import NUMBERS, canary_results, canary_system, write_directory
from tests.support.people import AGENT, CANARY, CANARY_ANSWER, NUMBER
from tests.support.ports import free_port

pytestmark = pytest.mark.redis
PAGE = Path(__file__).parents[3] / "docs" / "canary.md"
FIDELITY = Path(__file__).parents[3] / "sandbox" / "docs" / "fidelity.md"
OPTIONS = ("--to", CANARY, "--answer", CANARY_ANSWER)
#: Those that are durations in the sandbox: what they make of its defaults.
DURATIONS = {"list_delay_s": "0.0", "ring_buffer_s": "none"}
#: The other readings, by the flow that shows them.
READINGS = [
    *(("bridge", {"recording_of_a_child": one}) for one in ("own", "refused")),
    ("bridge", {"second_recording": "another", "recording_files": "authenticated", "abandoned_child": "no-answer"}),
    ("bridge", {"action_after_hang_up": False, "old_action_on_redirect": False}),
    ("consult", {"early_media_counts_as_join": True, "completed_participant": "updated"}),
    ("blind", {"ending_leave": "last"}),
    *(("cleanup", {"init_conference_list": one}) for one in ("all", "refused")),
    *(("cleanup", {"end_on_exit_update": one}) for one in ("taken", "with-hold")),
    ("cleanup", {"final_callback": "last", "conference_list": "all", "sorted_queries": True, "failed_wait": "hung-up"}),
    ("cleanup", {"unstarted_conference": "in-progress", "verify_callers": False}),
    ("cleanup", {"update_before_start": "taken", "end_before_start": "taken", "orphaned_coach": "unheard"}),
    ("cleanup", {"add_before_start": "refused"}),
    ("cleanup", {"early_media_starts": True, "late_answer": "new-conference", "announcement_failure": "unreported"}),
    ("cleanup", {"conference_recording_channels": 1, "list_delay_s": 20.0, "ring_buffer_s": 5.0}),
]


def readings_of(results) -> dict[str, str]:
    return {one.name: one.reading for result in results for one in result.findings if one.name in BEHAVIORS}


async def test_canary_shows_how_the_account_behaves_and_a_trace_has_nothing_personal(redis_server, tmp_path):
    async with canary_system(redis_server.url, tmp_path) as system:
        # A slow response is no delay of the list.
        system.sandbox.faults.next_rest("GET", "/Calls.json", latency_s=0.3, To=CANARY_ANSWER, PageSize="20")
        results = await canary_results(system)
        assert {result.flow: result.status for result in results} == dict.fromkeys(FLOWS, "ok")
        defaults = {name: str(getattr(Behavior(), name)).replace("True", "true").replace("False", "false")
                    for name in BEHAVIORS}  # fmt: skip
        assert readings_of(results) == defaults | DURATIONS
        for result in results:
            assert result.spans
            assert result.calls
            assert result.call_s > 0
            assert "agent in-progress" in result.order
        assert all(call.is_final for call in system.sandbox.model.state.calls.values())
        assert not system.sandbox.model.state.recordings
        stored = await read_check(system.client, system.keys, KIND)
        assert (stored.result, len(stored.findings)) == ("ok", sum(len(result.findings) for result in results))
        line = await check_canary(system.client, system.keys)
        assert (line.status, f"{len(BEHAVIORS)} behaviors" in line.found) == ("ok", True)

        text = json.dumps(trace_of(version("conferral"), results))
        state, settings = system.sandbox.model.state, system.settings
        personal = [NUMBER, CANARY, CANARY_ANSWER, *state.calls, *state.conferences, settings.account_sid]
        personal += [settings.auth_token.get_secret_value(), "127.0.0.1", settings.prefix, "client:"]
        assert [one for one in personal if one.removeprefix("+") in text] == []
        assert re.findall(r"[A-Z]{2}[0-9a-f]{32}|\d{7,}|https?:", text) == []
        assert "CA-1" in text


@pytest.mark.soak
@pytest.mark.parametrize("flow, changes", READINGS)
async def test_canary_shows_each_other_reading_of_the_documentation(redis_server, tmp_path, flow, changes):
    async with canary_system(redis_server.url, tmp_path, Behavior(**changes)) as system:
        (result,) = await canary_results(system, flow)
        found = readings_of([result])
        expected = {name: str(value).lower() for name, value in changes.items()} | (
            {"ring_buffer_s": "added", "list_delay_s": found.get("list_delay_s")} if "ring_buffer_s" in changes else {}
        )
        assert {name: found[name] for name in changes} == expected
        assert float(found.get("list_delay_s") or 0) >= 0.3 * ("list_delay_s" in changes)
        assert result.status == ("warn" if "add_before_start" in changes else "ok")


def test_the_pages_have_each_finding_and_the_matrix_each_reading():
    described = PAGE.read_text(), FIDELITY.read_text().partition("## Choices")[2]
    assert [name for name in BEHAVIORS if not any(f"`{name}`" in text for text in described)] == []
    assert {name for _, changes in READINGS for name in changes} == set(BEHAVIORS)
    assert set(BEHAVIORS) < {one.name for one in fields(Behavior)}


async def test_numbers_that_could_ring_a_person_are_refused_before_a_call(redis_server, tmp_path):
    async with canary_system(redis_server.url, tmp_path) as system:

        async def problems(numbers=NUMBERS) -> str:
            found = "\n".join(await check_numbers(system.settings, numbers))
            lines = re.sub(r'\[inbound."\+\d+"\]|agents = \["\+\d+"\]', "", found)  # to be copied
            assert not re.search(r"\d{7}", lines.replace(str(tmp_path), ""))
            return found

        assert await problems() == ""
        assert "three numbers" in await problems(CanaryNumbers(CANARY, CANARY, CANARY_ANSWER))
        assert "--to +…99 is not a number" in await problems(CanaryNumbers(NUMBER, "+14155550199", CANARY_ANSWER))
        found = await problems(CanaryNumbers(NUMBER, CANARY_ANSWER, CANARY))
        assert found.count("does not lead here: set its voice URL to") == 2
        write_directory(tmp_path, more="after = 'https://app.example/next'\n")
        assert "no after" in await problems()
        write_directory(tmp_path, agents=f'agents = ["{AGENT}"]')
        assert f'[inbound."{CANARY}"] with agents = ["{CANARY_ANSWER}"], mode' in await problems()
        write_directory(tmp_path)
        system.sandbox.add_number(CANARY_ANSWER, voice_url=f"{system.public_url}/voice/inbound")
        assert "/canary/answer (POST)" in await problems()
        system.sandbox.add_number(CANARY_ANSWER, voice_url=f"{system.public_url}/canary/answer")
        system.own_numbers.canary = frozenset()
        system.own_numbers.account = frozenset({CANARY_ANSWER})
        assert "restart webhooks and workers" in await problems()
        await system.stop_worker()
        assert "no worker is running" in await problems()
        assert not system.sandbox.model.state.calls


async def test_interrupted_canary_hangs_up_its_calls_and_a_second_one_is_refused(redis_server, tmp_path):
    async with canary_system(redis_server.url, tmp_path) as system:
        stranger = await system.customer_calls()
        await system.until(stranger.sid, phase="connected")
        running = asyncio.create_task(run_canary(system.settings, NUMBERS, FLOWS, lambda _result: None))
        calls = system.sandbox.model.state.calls
        await system.eventually(lambda: any(one.to == CANARY_ANSWER for one in calls.values()), "it rings")
        with pytest.raises(CommandNotDoneError, match="another canary is running"):
            await canary_results(system)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        own = [one for one in calls.values() if {one.to, one.from_} & {CANARY, CANARY_ANSWER}]
        await system.eventually(lambda: all(one.is_final for one in own), "its calls are over")
        assert stranger.status == "in-progress"
        line = await check_canary(system.client, system.keys)
        assert (line.status, "it did not finish" in line.found or "interrupted" in line.found) == ("warn", True)
        assert await CanaryLock(system.client, system.keys, "next").acquire()
        await system.ended_by_command(stranger.sid)


async def test_flow_that_goes_wrong_is_a_finding(redis_server, tmp_path):
    async with canary_system(redis_server.url, tmp_path) as system:
        system.sandbox.faults.next_rest("POST", "/Calls/*", status=400, code=21205)
        convert, hold = await canary_results(system, "convert", "hold")
        assert (convert.status, hold.status, convert.codes) == ("fail", "ok", ["21205"])
        assert convert.logs
        assert (await check_canary(system.client, system.keys)).status == "warn"
        assert all(call.is_final for call in system.sandbox.model.state.calls.values())


async def test_canarys_number_presses_the_key_that_phones_are_asked_for(redis_server, tmp_path):
    async with canary_system(redis_server.url, tmp_path, CONFERRAL_CONFIRM="phones") as system:
        (result,) = await canary_results(system, "consult")
        assert [one for one in result.findings if one.status == "fail"] == []


def test_wrong_use_is_one_clear_line(run, redis):
    assert "no flow is called 'warm'" in run("canary", *OPTIONS, "--flows", "warm", **SERVICE).err
    assert "must be + and digits" in run("canary", "--to", "555", "--answer", CANARY_ANSWER).err
    ran = run("canary", *OPTIONS, **SERVICE)
    refused, cost = ran.err.splitlines()
    assert (ran.code, refused) == (1, "without a terminal, canary needs --yes; nothing was done")
    assert re.search(r"about \d+ call legs .* about \$\d\.\d\d at Twilio's US list prices", cost)
    ran = run("canary", *OPTIONS, "--yes", REDIS_URL="redis://127.0.0.1:1/0")
    assert (ran.code, ran.err.count("\n"), "127.0.0.1:1" in ran.err) == (1, 1, True)


@pytest.mark.soak
@pytest.mark.processes
def test_commands_of_the_page_run_the_canary_on_the_sandbox(redis_server, tmp_path):
    page = PAGE.read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    exports, sandbox, numbers, services, commands = re.findall(
        r"```sh\n(.*?)```", page.partition("## Try it on the sandbox")[2], re.DOTALL
    )
    rest, webhooks = free_port(), free_port()

    def here(text: str) -> str:
        return text.replace("8081", str(rest)).replace("8080", str(webhooks))

    exported = dict(word.split("=", 1) for line in here(exports).splitlines() for word in line.split()[1:])
    variables = exported | {"REDIS_URL": redis_server.url, "CONFERRAL_DRAIN": "0"}
    (tmp_path / "directory.toml").write_text(toml)
    programs = []
    try:
        for line in [*sandbox.splitlines(), *services.splitlines()[1:]]:
            port = {"sandbox": rest, "webhooks": webhooks}.get(line.split()[1])
            programs.append(
                start(line.split()[1], *(["--port", str(port)] if port else []), cwd=tmp_path, env=variables)
            )
            if port == rest:
                until(lambda: _bash(here(numbers), tmp_path, variables).returncode == 0, "the sandbox", programs[0])
        line, check, _all = commands.splitlines()
        until(lambda: _bash(line, tmp_path, variables).returncode == 0, "webhooks and worker are ready", programs[-1])
        ran = _bash(check, tmp_path, variables)
        assert re.search(r"ok +canary +ran .*: as documented", ran.stdout), ran.stdout

        programs.append(start("canary", *OPTIONS, "--yes", cwd=tmp_path, env=variables))
        with redis_server.client() as redis:
            until(lambda: redis.exists("conferral:canary"), "it has begun", programs[-1])
        programs[-1].send_signal(signal.SIGINT)
        _, printed = programs[-1].communicate()
        assert (programs[-1].returncode, printed.splitlines()[-1]) == (
            1,
            "interrupted; the canary's calls were hung up",
        )
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            program.communicate()


def _bash(text: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = f'conferral() {{ "{sys.executable}" -m conferral "$@"; }}\nset -e\n{text}'
    script = script.replace("curl ", "curl -sf ")
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=process_variables(**variables), capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
