"""The demo, whole: it narrates its call, its commands run as printed, and it always cleans up."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from conferral.demo import characters, environment
from conferral.processes import redis_server, subprocesses
from tests.conferral.cli_helpers import process_variables, start, until

pytestmark = [pytest.mark.processes, pytest.mark.redis]
#: Pauses and ringing are so many times shorter.
PACE = "10"
POISON = {
    "TWILIO_ACCOUNT_SID": "AC" + "9" * 32,
    "TWILIO_AUTH_TOKEN": "a-real-token",
    "TWILIO_API_KEY": "not even well formed",
    "CONFERRAL_PARTITIONS": "3",
    "REDIS_URL": "redis://a-real-redis:6379",
}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A temporary folder of the test's own, in which a demo must leave nothing."""
    place = Path("/tmp") / f"cfr-{os.getpid()}-{time.monotonic_ns() % 10**9}"  # short: sockets' paths are
    place.mkdir()
    yield place
    place.rmdir()  # it must be empty


@contextmanager
def demo(*arguments, folders, cwd, **variables):
    with start("demo", *arguments, cwd=cwd, env={**POISON, "TMPDIR": str(folders), **variables}) as program:
        try:
            yield program
        finally:
            program.terminate()  # a test that failed leaves nothing either
            program.wait(150)


def signed_in(link):
    """Open a link as a browser does; return who it signs in."""
    url, _, rest = link.partition("/desk?as=")
    identity, _, code = rest.partition("#")
    headers = {"Origin": url, "X-Conferral": "desk", "Content-Type": "application/json"}
    body = json.dumps({"identity": identity, "code": code}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/desk/session", body, headers), timeout=5) as answer:
        return json.load(answer)["identity"]


def processes_of(folders):
    """Processes of the demo that lives there: they work in its folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may be gone, or another user's
            if (process / "cwd").readlink().is_relative_to(folders):
                found[int(process.name)] = (process / "cmdline").read_text()
    return found


def read_until(program, pattern):
    """Lines up to the one that matches; the reading ends with the program."""
    lines = []
    for line in program.stdout:
        lines.append(line.rstrip("\n"))
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"the demo ended before {pattern}: {lines} {program.stderr.read()}")


@pytest.mark.soak
def test_demo_story_runs_to_the_end_and_leaves_nothing(folders, tmp_path):
    (tmp_path / ".env").write_text("CONFERRAL_PREFIX={broken}\nTWILIO_NUMBER=12\n")
    with demo("--exit", "--pace", PACE, folders=folders, cwd=tmp_path) as program:
        out, err = program.communicate(timeout=150)

    assert program.returncode == 0, out + err
    expected = [
        r"customer \+…23 calls \+…00; alice is dialed",
        r"incoming call  \[bridged\]",
        r"the customer hears alice; alice hears the customer",
        r"alice consults bob first: transfer --to client:bob --mode consult",
        r"kill -9 \d+: the worker that processes this call dies",
        r"the other worker takes over, \d+\.\d\d s after the kill|the customer hears music; alice hears bob",
        r"complete requested",
        r"alice('s call ended| left the conference.*)  \[conferenced\]",
        r"the customer hears bob; bob hears the customer",
        r"the customer hangs up",
        r"\[ended, customer-left\]",
        r"calls left at the local Twilio: 0",
    ]
    lines = iter(out.splitlines())
    for pattern in expected:
        assert any(re.search(pattern, line) for line in lines), f"{pattern} does not come in its turn:\n{out}"
    assert [line for line in out.splitlines() if len(line) > 80] == []
    times = [float(reported[1]) for reported in re.finditer(r"^ +\+(\d+\.\d\d) s  ", out, re.MULTILINE)]
    assert times == sorted(times)
    assert processes_of(folders) == {}


@pytest.mark.soak
def test_the_second_call_stays_up_and_the_commands_run_as_printed(folders, tmp_path):
    with demo("--pace", PACE, folders=folders, cwd=tmp_path) as program:
        lines = read_until(program, "Ctrl-C stops everything")
        page = "\n".join(lines)
        # The API's own address is asked below, by the command that has its token.
        for url in re.findall(r"http://\S+", page.partition("In another terminal")[0]):
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
        desks = dict(re.findall(r"^  (alice|dave) +(http://127\.0\.0\.1:\d+/desk\?as=\w+#\S+)$", page, re.MULTILINE))
        assert [signed_in(desks[one]) for one in ("alice", "dave", "dave")] == ["alice", "dave", "dave"]
        after = lines[next(number for number, line in enumerate(lines) if "$CALL" in line) + 1 :]
        commands = "\n".join(after).replace("\\\n", "").partition("\n\nCtrl-C")[0].strip().splitlines()
        assert len(commands) == 9
        assert commands[-1].endswith(" --yes"), "on a terminal it asks otherwise"
        typed = partial(
            subprocess.run, shell=True, cwd=tmp_path, env=process_variables(), capture_output=True, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        all_commands = (*commands[1:], "nice conferral check", "echo ${TWILIO_AUTH_TOKEN-unset}")
        answers = [typed(f"{commands[0]}; {command}") for command in all_commands]
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=150)

    assert [answer.returncode for answer in answers] == [0] * 10, answers
    assert answers.pop().stdout == "unset\n", "the demo's settings don't stay in the shell"
    check = answers.pop().stdout
    assert check.startswith("status")
    # The bundled Redis is older than `check` recommends, and the story has killed a worker.
    found = {name.rstrip(":") for name in re.findall(r"^(?:warn|fail):? +(\S+)", check, re.MULTILINE)}
    assert found <= {"version", "workers"}, check
    expected = [
        "is now conferenced",
        "agent client:alice and target client:bob are talking; customer +…23 is on hold",
        "customer +…23 and agent client:alice are talking; target client:bob is on hold",
        "customer +…23 and agent client:bob are talking",
        "-",
        '"state":',
        "+…23 and carol are talking.",
        "ended CA",
    ]
    for answer, says in zip(answers, expected, strict=True):
        assert says in answer.stdout
    assert re.fullmatch(r"\d+-\d+\n", answers[4].stdout)
    assert "From now on, bob and carol answer after a second" in page
    assert program.returncode == 0
    assert processes_of(folders) == {}


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        pytest.param("Demo: ", signal.SIGINT, marks=pytest.mark.soak),
        pytest.param("bob is ringing", signal.SIGHUP, marks=pytest.mark.soak),
        ("Conferral's demo", signal.SIGINT),
        pytest.param("alice answered", signal.SIGINT, marks=pytest.mark.soak),
        pytest.param("complete requested", signal.SIGINT, marks=pytest.mark.soak),
    ],
)
def test_a_demo_that_is_stopped_in_the_middle_leaves_nothing(folders, tmp_path, moment, how):
    with demo("--pace", PACE, folders=folders, cwd=tmp_path) as program:
        read_until(program, moment)
        until(lambda: processes_of(folders), "nothing was started", program)
        program.send_signal(how)
        _, err = program.communicate(timeout=150)

    assert program.returncode == 0, err
    assert "nothing is left behind" in err
    assert "Traceback" not in err
    assert processes_of(folders) == {}


@pytest.mark.soak
def test_a_process_that_dies_is_named_with_the_end_of_its_log(folders, tmp_path):
    with demo(folders=folders, cwd=tmp_path) as program:
        read_until(program, "Demo: ")
        redis = next(pid for pid, line in processes_of(folders).items() if "redis-server" in line)
        os.kill(redis, signal.SIGKILL)
        _, err = program.communicate(timeout=150)

    assert program.returncode == 1
    assert "redis exited unexpectedly (exit code -9); from the end of its log:" in err
    assert "Traceback" not in err
    assert processes_of(folders) == {}


@pytest.mark.soak
def test_a_port_that_is_taken_is_named_and_the_next_is_used(folders, tmp_path):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # someone else has it, which serves as well
            other.bind(("127.0.0.1", environment.WEBHOOKS_PORT))
            other.listen()
        with demo(folders=folders, cwd=tmp_path) as program:
            read_until(program, "alice answered")
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=150)

    found = re.search(rf"port {environment.WEBHOOKS_PORT} is taken; using (\d+)", err)
    assert found
    assert int(found[1]) not in environment.PORTS


async def test_a_worker_that_dies_ends_nothing_and_is_started_again(monkeypatch, capsys):
    monkeypatch.setattr(subprocesses, "RESTART_AFTER_S", 0.0)
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    with subprocesses.Subprocesses() as children:
        first, second = (children.start(name, sleeps, {}, is_restarted=True) for name in ("worker-1", "worker-2"))
        death, keeping = (asyncio.create_task(one) for one in (children.wait_for_death(), children.restart_workers()))
        pid, other = first.process.pid, second.process.pid
        os.kill(pid, signal.SIGKILL)

        async def runs_again():
            return first.process.pid != pid

        assert await subprocesses.poll_until(runs_again, 20)
        await subprocesses.cancel_all({keeping})
        assert not death.done()
        assert (first.has_ended, second.process.pid) == (False, other)
        printed = " ".join(capsys.readouterr().out.split())
        assert f"worker-1 (process {pid}) was killed (SIGKILL); the other worker takes over." in printed
        await subprocesses.cancel_all({death})


def test_without_any_redis_the_demo_says_how_to_get_one(monkeypatch, run):
    monkeypatch.setattr(redis_server, "find_programs", lambda _program: [])

    ran = run("demo")

    assert ran.code == 1
    assert "apt install redis-server" in ran.err
    assert "make demo" in ran.err


def test_every_setting_is_decided_by_the_demo():
    from conferral.runtime.settings import ServiceSettings, load

    given = environment.process_variables("unix:///tmp/x", "http://127.0.0.1:1", "http://127.0.0.1:2")

    assert {str(field.validation_alias) for field in ServiceSettings.model_fields.values()} == given.keys()
    assert load(ServiceSettings, given).agent == characters.ALICE
