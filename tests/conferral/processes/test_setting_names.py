"""A misspelled setting has its default without a word, so every process names it when it starts."""

import pytest

from conferral.console.app import ConsoleOptions
from conferral.processes import common, console, sandbox, services
from conferral.runtime.log import KEYS
from tests.conferral.cli_helpers import CALL, make_session, put
from tests.support.log_lines import lines_of
from tests.support.ports import free_port
from tests.webhooks.webhook_helpers import ENVIRON

STARTS = {
    "webhooks": lambda port: services.serve_webhooks("127.0.0.1", port),
    "worker": lambda port: services.run_worker("127.0.0.1", port),
    "console": lambda port: console.run_console("127.0.0.1", port, ConsoleOptions()),
    "sandbox": lambda port: sandbox.run_sandbox(port=str(port)),
}


@pytest.mark.parametrize("process", STARTS)
def test_every_process_names_misspelled_settings_once_when_it_starts(monkeypatch, tmp_path, process):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("conferral_sesion_ttl=60\nCONFERRAL_TEST_OWN=1\nCONFERRAL_PREFIX=mine\n")
    given = ENVIRON | {"CONFERRAL_API_TOKEN": "correct-horse-battery-staple", "TWILIO_AUTH_TOKEN": "sandbox"}
    for name, value in (given | {"CONFERRAL_RING_TMEOUT": "secret-value", "CONFERRAL_XYZ": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sandbox, "require_own_token", lambda *_given: None)
    monkeypatch.setattr(services.lifecycle, "run", lambda _work, **_more: 0)
    monkeypatch.setattr(common.logging_setup, "configure", lambda _form, process: None)

    with lines_of(monkeypatch, common) as lines:
        assert STARTS[process](free_port()) == 0

    found = [line for line in lines if line["event"] == "setting_unknown"]
    assert [(line["setting"], line["reason"]) for line in found] == [
        ("CONFERRAL_RING_TMEOUT", "no setting has this name; did you mean CONFERRAL_RING_TIMEOUT?"),
        ("CONFERRAL_SESION_TTL", "no setting has this name; did you mean CONFERRAL_SESSION_TTL?"),
        ("CONFERRAL_XYZ", "no setting has this name"),
    ]
    assert all(line.keys() - {"event", "log_level"} <= KEYS for line in found)
    assert "secret-value" not in str(lines)


@pytest.mark.redis
def test_a_line_of_the_env_file_that_cannot_be_read_is_named_without_its_content(run, redis, tmp_path):
    put(redis, make_session())
    (tmp_path / ".env").write_text("CONFERRAL_RING_TIMEOUT=20\nhidden value\n")

    ran = run("convert", CALL, "--no-wait")

    assert (ran.code, ran.out) == (2, "")
    assert ".env, line 2: can't be parsed; write NAME=VALUE" in ran.err
    assert "hidden" not in ran.err
