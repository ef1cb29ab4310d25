"""Running the program inside the test's process, with no settings but those given."""

import os
from functools import cache

import pytest
import structlog
import typer.main

from conferral.main import main
from tests.conferral.cli_helpers import Ran

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
    logging = structlog.get_config()
    monkeypatch.setattr(typer.main, "get_command", one_tree)

    def run(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    yield run
    # A command may have set it up to write to a stream of this test alone.
    structlog.configure(**logging)


@pytest.fixture
def redis(redis_server, monkeypatch):
    """The client of a Redis that REDIS_URL names."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with redis_server.client() as client:
        yield client
