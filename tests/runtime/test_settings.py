"""Settings: everything that is wrong is told at once, by its name, and no secret is ever shown."""

import pytest

from runtime.errors import SettingsError
from runtime.settings import ServiceSettings, StoreSettings, load

GOOD = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "very-secret-token",
    "TWILIO_NUMBER": "+14155550100",
    "CONFERRAL_PUBLIC_URL": "https://voice.example.com/conferral/",
}


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as wrong:
        load(ServiceSettings, {name: value for name, value in {**GOOD, **changes}.items() if value is not None})
    return wrong.value.problems


def test_defaults_are_those_of_the_documentation():
    settings = load(ServiceSettings, GOOD)
    assert settings.redis_url == "redis://localhost:6379/0"
    assert (settings.prefix, settings.partitions) == ("conferral", 16)
    assert (settings.ring_timeout_s, settings.convert_timeout_s, settings.lone_grace_s) == (30, 5, 2)
    assert settings.session_ttl_s == 86_400
    assert (settings.calls_per_second, settings.confirm) == (0, "asked")
    assert (settings.transfer_fallback, settings.transfer_caller_id) == ("recall", "business")
    assert settings.public_url == "https://voice.example.com/conferral"
    assert settings.api_url == "https://api.twilio.com"


def test_every_missing_setting_is_named_at_once():
    with pytest.raises(SettingsError) as wrong:
        load(ServiceSettings, {})
    named = {line.partition(":")[0] for line in wrong.value.problems}
    assert named == set(GOOD)


@pytest.mark.parametrize("name, value", [
    ("TWILIO_ACCOUNT_SID", "AC123"),
    ("TWILIO_NUMBER", "(415) 555-0100"),
    ("TWILIO_NUMBER", "+0"),
    ("TWILIO_API_KEY", "SK1"),
    ("TWILIO_API_URL", "ftp://x"),
    ("CONFERRAL_PUBLIC_URL", "voice.example.com"),
    ("CONFERRAL_PUBLIC_URL", "https://x.example/?a=1"),
    ("CONFERRAL_PREFIX", "a{b}"),
    ("CONFERRAL_PREFIX", "a b"),
    ("CONFERRAL_PARTITIONS", "0"),
    ("CONFERRAL_PARTITIONS", "many"),
    ("CONFERRAL_RING_TIMEOUT", "1"),
    ("CONFERRAL_CONVERT_TIMEOUT", "0"),
    ("CONFERRAL_LONE_GRACE", "-1"),
    ("CONFERRAL_SESSION_TTL", "1"),
    ("CONFERRAL_CALLS_PER_SECOND", "-1"),
    ("CONFERRAL_CALLS_PER_SECOND", "inf"),
    ("CONFERRAL_CALLS_PER_SECOND", "nan"),
    ("CONFERRAL_CALLS_PER_SECOND", "one"),
    ("CONFERRAL_CONFIRM", "always"),
    ("CONFERRAL_TRANSFER_CALLER_ID", "+14155550100"),
    ("CONFERRAL_LANGUAGE", "<b>"),
    ("CONFERRAL_LOG_FORMAT", "xml"),
    ("REDIS_URL", "http://localhost"),
])  # fmt: skip
def test_wrong_setting_is_named_and_explained(name, value):
    (line,) = problems(**{name: value})
    assert line.startswith(f"{name}: ")
    assert len(line) > len(name) + 10


def test_pace_may_be_a_fraction():
    assert load(ServiceSettings, {**GOOD, "CONFERRAL_CALLS_PER_SECOND": "0.5"}).calls_per_second == 0.5


def test_api_key_and_secret_go_together():
    assert problems(TWILIO_API_KEY="SK" + "0" * 32)[0].startswith("TWILIO_API_SECRET: missing")
    assert problems(TWILIO_API_SECRET="x")[0].startswith("TWILIO_API_KEY: missing")


def test_secrets_are_in_no_message_and_no_repr():
    settings = load(ServiceSettings, {**GOOD, "TWILIO_AUTH_TOKEN_SECONDARY": "another-secret"})
    for shown in (repr(settings), str(settings)):
        assert "very-secret-token" not in shown
        assert "another-secret" not in shown
    lines = "\n".join(problems(TWILIO_NUMBER="x", CONFERRAL_PARTITIONS="y"))
    assert "very-secret" not in lines


def test_given_values_hide_the_environment_and_the_env_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("CONFERRAL_PREFIX=from-the-file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    given = load(StoreSettings, {})
    assert (given.prefix, given.redis_url) == ("conferral", "redis://localhost:6379/0")
    found = load(StoreSettings)
    assert (found.prefix, found.redis_url) == ("from-the-file", "redis://elsewhere:1/0")


def test_operators_commands_need_nothing_of_twilio():
    assert load(StoreSettings, {"REDIS_URL": "unix:///tmp/x"}).redis_url == "unix:///tmp/x"


def test_empty_value_counts_as_not_given():
    assert load(ServiceSettings, {**GOOD, "CONFERRAL_AGENT": ""}).agent is None


def test_settings_can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load(StoreSettings, {}).prefix = "other"
