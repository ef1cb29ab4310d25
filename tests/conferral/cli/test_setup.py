"""`conferral setup` against the local Twilio: what it changes, what it leaves, and what it asks."""

import pytest

from tests.conferral.cli_helpers import SERVICE
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks, typed
from tests.support.people import HELP as SUPPORT
from tests.support.people import NUMBER as OWN

OTHER = "+14155550107"
HERE = "https://calls.example.com/base"
APP = "AP" + "4" * 32
OURS = {
    "voice_url": f"{HERE}/voice/inbound",
    "voice_fallback_url": f"{HERE}/voice/fallback",
    "status_callback": f"{HERE}/voice/status",
}


@pytest.fixture
def account(twilio_sandbox, twilio_client, monkeypatch, tmp_path):
    """A number of ours, and the settings of an installation; nothing leads here yet."""
    directory = tmp_path / "directory.toml"
    directory.write_text(f'[inbound."{SUPPORT}"]\nagents = ["client:bob"]\n')
    given = {
        **SERVICE, "TWILIO_ACCOUNT_SID": twilio_sandbox.account_sid, "TWILIO_AUTH_TOKEN": twilio_sandbox.auth_token,
        "TWILIO_API_URL": twilio_sandbox.url, "TWILIO_NUMBER": OWN, "CONFERRAL_PUBLIC_URL": HERE,
        "CONFERRAL_DIRECTORY": str(directory),
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    twilio_sandbox.add_number(OWN)
    return twilio_sandbox


def record_of(client, number):
    (found,) = client.incoming_phone_numbers.list(phone_number=number)
    return {name: getattr(found, name) for name in OURS} | {"method": found.voice_method}


def changes(account):
    return [one for one in account.requests.rest if one.method == "POST"]


def test_numbers_that_lead_nowhere_or_here_are_set_and_others_only_listed(run, account, twilio_client):
    conference = f"{HERE}/voice/conference#rc=2"
    account.add_number(SUPPORT, voice_url=conference, voice_method="GET")
    ran = run("setup", "--dry-run", "--json")
    assert (ran.code, ran.json["done"], ran.json["left"], changes(account)) == (0, False, [], [])
    assert {(one["field"], one["from"], one["to"]) for one in ran.json["changes"]} == {
        *((name, "", url) for name, url in OURS.items()),
        ("voice_url", f"{conference} (GET)", conference),
    }
    assert run("setup", "--yes").code == 0
    assert record_of(twilio_client, OWN) == OURS | {"method": "POST"}
    assert record_of(twilio_client, SUPPORT) == OURS | {"voice_url": conference, "method": "POST"}
    ran = run("setup")  # nothing to do, so it asks no one
    assert (ran.code, ran.out.splitlines(), len(changes(account))) == (0, ["nothing to do"], 2)

    account.add_number(SUPPORT, voice_url="https://app.example.com/voice/inbound")
    ran = run("setup", "--json", "--yes")
    why = f"something else answers it, at app.example.com; to change it: conferral setup {SUPPORT}"
    assert (ran.code, ran.json["left"]) == (0, [{"name": "+…02", "reason": why}])
    assert record_of(twilio_client, SUPPORT)["voice_url"] == "https://app.example.com/voice/inbound"


def test_the_commands_of_the_page_work(run, account, twilio_client):
    commands = [words for words in typed(blocks, ROOT / "docs" / "sandbox.md") if words[:2] == ["conferral", "setup"]]
    assert [run(*words[1:]).code for words in commands] == [0, 0]
    assert record_of(twilio_client, OWN) == OURS | {"method": "POST"}


def test_a_number_that_is_named_is_set_whatever_answers_it_and_keeps_our_path(run, account, twilio_client):
    account.add_number(OTHER, voice_url="https://old.example.com/voice/handoff")
    assert run("setup", OTHER, "--yes").code == 0
    assert record_of(twilio_client, OTHER)["voice_url"] == f"{HERE}/voice/handoff"
    assert record_of(twilio_client, OWN)["voice_url"] == ""
    for number, why in (("+14155550199", "not a number in this account"), ("4155550100", "must be + and digits")):
        ran = run("setup", number, "--yes")
        assert (ran.code, why in ran.err) == (1 if number[0] == "+" else 2, True)


def test_the_app_is_set_and_a_number_with_an_app_is_left(run, account, twilio_client, monkeypatch):
    account.add_application(APP, voice_url="https://old.example.com/voice")
    account.add_number(OWN, voice_application_sid=APP)
    monkeypatch.setenv("TWILIO_TWIML_APP_SID", APP)
    ran = run("setup", "--yes", "--json")
    assert [one["reason"] for one in ran.json["left"]][:1] == [f"its calls go to the TwiML app {APP}, whose URLs apply"]
    app = twilio_client.applications(APP).fetch()
    assert {name: getattr(app, name) for name in OURS} == OURS | {"voice_url": f"{HERE}/voice/client"}


def test_nothing_changes_without_a_yes(run, account, on_terminal):
    ran = run("setup")
    assert (ran.code, changes(account)) == (1, [])
    assert "without a terminal, setup needs --yes" in ran.err
    on_terminal(lambda _question: False)
    ran = run("setup")
    assert (ran.code, "nothing was changed" in ran.err, changes(account)) == (1, True, [])


def test_what_twilio_refuses_is_said_without_secrets(run, account):
    account.faults.next_rest("POST", "/IncomingPhoneNumbers/*", status=400, code=21402)
    ran = run("setup", "--yes")
    assert (ran.code, "HTTP 400, code 21402" in ran.err) == (1, True)
    ran = run("setup", "--yes", CONFERRAL_PUBLIC_URL="https://me:secret@calls.example.com")
    assert (ran.code, "secret" in ran.out + ran.err) == (0, False)
    assert changes(account)[-1].get("VoiceUrl") == "https://me:secret@calls.example.com/voice/inbound"
