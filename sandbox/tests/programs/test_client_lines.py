"""Twilio's clients where the environment names a region and a proxy."""

import pytest

from offhook.testing import TwilioSandbox

VARIABLES = {
    "TWILIO_REGION": "ie1",
    "TWILIO_EDGE": "dublin",
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9"),
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)


def test_fixture_reaches_the_sandbox(elsewhere: None, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue("twilio_client").calls.list() == []


def test_printed_lines_reach_the_sandbox(twilio_sandbox: TwilioSandbox) -> None:
    printed = twilio_sandbox.run(lambda sandbox: sandbox.introduce())
    lines = printed.partition("Python:\n")[2].partition("Node.js:")[0]
    names: dict[str, object] = {}
    exec("\n".join(line.strip() for line in lines.splitlines()), names)
    assert names["client"].calls.list() == []  # type: ignore[attr-defined]
    names["client"].http_client.session.close()  # type: ignore[attr-defined]
