"""On which host and with which auth token the sandbox starts: never with one that production webhooks may trust."""

import pytest

from conferral.processes.sandbox import run_sandbox
from conferral.runtime import lifecycle
from conferral.runtime.errors import SettingsError
from offhook import AUTH_TOKEN
from tests.support.ports import free_port

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def starts(monkeypatch, tmp_path):
    """Whether the sandbox starts with these settings; else why not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lifecycle, "run", lambda _start: 0)
    monkeypatch.setattr("conferral.processes.common.logging_setup.configure", lambda _format, process: None)

    def start(host="127.0.0.1", port=None, **settings):
        for name in ("TWILIO_AUTH_TOKEN", "TWILIO_API_URL"):
            monkeypatch.delenv(name, raising=False)
        lines = [f"{name}={value}" for name, value in settings.items()]
        (tmp_path / ".env").write_text("\n".join(lines))
        try:
            return "" if run_sandbox(host=host, port=str(port or free_port())) == 0 else "?"
        except SettingsError as error:
            return str(error)

    return start


@pytest.mark.parametrize(
    "url",
    [
        None, "https://api.twilio.com", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://proxy:{port}",
        "http://127.0.0.1:{port}/twilio",
    ],
)  # fmt: skip
def test_token_next_to_another_api_url_is_refused_and_not_shown(starts, url):
    port = free_port()
    given = {"TWILIO_API_URL": url.format(port=port)} if url else {}
    why = starts(port=port, TWILIO_AUTH_TOKEN=TOKEN, **given)
    assert why.startswith("TWILIO_AUTH_TOKEN may be a real account's")
    assert f"http://127.0.0.1:{port}," in why
    assert TOKEN not in why


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("named", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("end", ["", "/"])
def test_token_next_to_the_sandboxs_own_url_is_taken(starts, host, named, end):
    port = free_port()
    assert starts(host, port, TWILIO_AUTH_TOKEN=TOKEN, TWILIO_API_URL=f"http://{named}:{port}{end}") == ""


@pytest.mark.parametrize("settings", [{}, {"TWILIO_AUTH_TOKEN": AUTH_TOKEN}, {"TWILIO_AUTH_TOKEN": ""}])
def test_without_a_token_or_with_its_own_it_starts_as_it_is(starts, settings):
    assert starts(**settings) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "sandbox.example"])
def test_host_that_others_reach_is_refused_without_its_names(run, host):
    ran = run("sandbox", "--host", host, "--port", "0")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"others can reach host {host!r}: name the hosts that clients use (--allow-host)\n"
