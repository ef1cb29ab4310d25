"""What every command has in common: help, wrong usage, wrong settings, a Redis that is away."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from conferral.main import app
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.ids import NO_PHONE_NUMBER_RULE
from conferral.storage.config import SCHEMA_VERSION
from tests.conferral.cli_helpers import CALL
from tests.support.each import each

COMMANDS = (
    "demo", "webhooks", "worker", "sandbox", "console", "sessions", "show", "report", "check",
    "setup", "dead", "forget", "outcomes", "api-token", "desk-link", *COMMANDS_BY_NAME,
)  # fmt: skip


def test_every_command_is_listed_and_none_is_cut(run):
    ran = run("--help")

    assert ran.code == 0
    assert all(f"  {command} " in ran.out for command in COMMANDS)
    assert "..." not in ran.out.partition("Commands:")[2]


def test_no_command_is_left_out_here():
    assert set(get_command(app).commands) == set(COMMANDS)


@each("command", [*COMMANDS, "dead list", "dead show", "dead retry", "dead drop", "dead resend", "outcomes resend"])
def test_help_of_every_command_begins_with_examples(run, command):
    ran = run(*command.split(), "-h")

    assert ran.code == 0
    examples = ran.out.index("Examples:")
    assert ran.out.index(f"conferral {command}", examples) < ran.out.index("Options:", examples)


def every_help(run):
    tree = get_command(app)
    for name, command in tree.commands.items():
        yield name, run(name, "-h").out
        for inner in getattr(command, "commands", ()):
            yield f"{name} {inner}", run(name, inner, "-h").out


def test_helps_name_arguments_in_words_and_fit_80_columns(run):
    for name, reported in every_help(run):
        _, _, rest = reported.partition("Examples:")
        options = rest.partition("Arguments:")[2] or rest.partition("Options:")[2]
        assert [line for line in options.splitlines() if len(line) > 80] == [], name
    assert re.search(r"^  --wait SECONDS  ", run("end", "-h").out, re.MULTILINE)


def test_help_imports_nothing_heavy():
    heavy = ("asyncio", "redis", "aiohttp", "twilio", "pydantic", "rich", "phonenumbers", "structlog")
    program = f"import sys, conferral.main; print([name for name in {heavy} if name in sys.modules])"

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("sesions",),
        ("sessions", "--nonsense"),
        ("sessions", "--state", "flying"),
        ("show",),
        ("show", "a b"),
        ("convert", "x" * 65),
        ("convert", CALL, "--id", "a:b"),
        ("convert", CALL, "--wait", "-1"),
        ("convert", CALL, "--timeout", "20"),
        ("transfer", CALL, "--to", "client:bob"),
        ("transfer", CALL, "--to", "client:bob", "--mode", "warm", "--timeout", "4"),
        ("transfer", CALL, "--to", "client:\udcff", "--mode", "warm"),
        ("announce", CALL),
        ("sessions", "--follow", "--state", "flying"),
        ("sessions", "--follow", "--state", "ended"),
        ("sessions", "--follow", "--all"),
        ("webhooks", "--port", "70000"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why_on_standard_error(run, arguments):
    ran = run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("convert", CALL, "--wait", "5", "--no-wait"), "--no-wait: can't be used with --wait\n"),
        (("console", "--read-only", "--token-in-lines"), "--token-in-lines: can't be used with --read-only\n"),
        (
            ("announce", CALL, "--say", "x", "--url", "y"),
            ": announce needs one of the fields url and say, and not both\n",
        ),
    ],
)
def test_wrong_usage_is_explained_in_plain_words(run, arguments, words):
    ran = run(*arguments)

    assert ran.code == 2
    assert ran.err.endswith(f"\n\nError: Invalid value{' for ' if words[0] != ':' else ''}{words}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("show", "a b"), "must be 1 to 64"),
        (("end", "CA1", "--id", "14155550199"), NO_PHONE_NUMBER_RULE),
    ],
    ids=["session", "id that is a number"],
)
def test_usage_error_is_reported_in_json(run, arguments, reason):
    ran = run(*arguments, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert reason in ran.error["reason"]


def test_the_version_is_that_of_the_distribution(run):
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]

    assert run("--version").out == f"conferral {project['version']}\n"


@pytest.mark.parametrize("command", ["webhooks", "worker", "check"])
def test_every_wrong_setting_is_named_on_a_line_of_its_own(run, command):
    ran = run(command, TWILIO_AUTH_TOKEN="hidden-token", TWILIO_NUMBER="12", REDIS_URL="http://x")

    assert (ran.code, ran.out) == (2, "")
    names = [line.split(":")[0] for line in ran.err.splitlines()]
    assert sorted(names) == ["CONFERRAL_PUBLIC_URL", "REDIS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_NUMBER"]
    assert "hidden-token" not in ran.err


@pytest.mark.parametrize(
    "arguments",
    [("sessions",), ("show", CALL), ("convert", CALL), ("end", CALL)],
)
def test_a_redis_that_is_away_is_named_without_its_password(run, arguments):
    ran = run(*arguments, REDIS_URL="redis://someone:secret@127.0.0.1:1/0")

    assert (ran.code, ran.out) == (1, "")
    assert len(ran.err.splitlines()) == 1
    assert "127.0.0.1:1" in ran.err
    assert "secret" not in ran.err
    assert "someone" not in ran.err


@pytest.mark.redis
@pytest.mark.parametrize("command", [("sessions",), ("end", CALL)])
def test_a_login_that_redis_refuses_is_named_without_the_password(run, redis, redis_server, command):
    redis.acl_setuser("other", enabled=True, passwords=["+right"], commands=["+@all"], keys=["*"])
    try:
        ran = run(*command, REDIS_URL=redis_server.url.replace("unix://", "unix://other:hidden@"))
    finally:
        redis.acl_deluser("other")

    assert ran.code == 1
    assert ran.err.startswith("Redis refused the login in REDIS_URL")
    assert "hidden" not in ran.err


@pytest.mark.redis
def test_operators_need_no_settings_of_twilio(run, redis):
    redis.hset("mine:config", mapping={"partitions": 4, "schema": SCHEMA_VERSION})

    assert run("sessions", CONFERRAL_PREFIX="mine").code == 0
