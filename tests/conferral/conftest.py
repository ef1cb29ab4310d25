"""Running the program inside the test's process, with no settings but those given."""

import os
import sys
from functools import cache

import pytest
import structlog
import typer.main

from conferral.cli import output
from conferral.main import main
from conferral.storage.connection.client import make_client
from conferral.storage.queries.session_reader import SessionReader
from tests.conferral.cli_helpers import KEYS, SERVICE, Ran, make_session, put

#: Each call of `main` makes the tree of all commands: 12 ms that hundreds of calls need not take. Other tests get their
#: own, since commands remember the first context in which they are used.
one_tree = cache(typer.main.get_command)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    """No one's environment and no one's .env reach a test."""
    for name in list(os.environ):
        if name.startswith(("TWILIO_", "CONFERRAL_", "REDIS_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys, monkeypatch):
    logging, configure = structlog.get_config(), structlog.configure
    monkeypatch.setattr(typer.main, "get_command", one_tree)
    # A logger that is kept would write to a stream of this test alone, in others, too.
    kept = {"cache_logger_on_first_use": False}
    monkeypatch.setattr(structlog, "configure", lambda **options: configure(**options | kept))

    def run(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    yield run
    configure(**logging)


@pytest.fixture
def redis(redis_server, monkeypatch):
    """The client of a Redis that REDIS_URL names."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with redis_server.client() as client:
        yield client


@pytest.fixture
def bridged(redis):
    """A call whose customer and agent are talking."""
    put(redis, make_session())


@pytest.fixture
def checked(run, redis):
    """Runs the check; gives its exit code and its lines by name."""

    def checked(**variables):
        ran = run("check", "--json", "--offline", **SERVICE | variables)
        return ran.code, {line["name"]: line for line in ran.json}

    return checked


@pytest.fixture
async def reader(redis_server):
    client = make_client(redis_server.url)
    yield SessionReader(client, KEYS)
    await client.aclose()


@pytest.fixture
def on_terminal(monkeypatch):
    """Makes standard input a person's terminal, on which questions are decided; gives what is asked there."""

    def on_terminal(decide):
        asked = []
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(output, "confirm", lambda question: asked.append(question) or decide(question))
        return asked

    return on_terminal
