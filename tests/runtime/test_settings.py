"""Settings: all errors are reported at once, by name, and no secret is ever shown."""

import re

import pytest

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import ConsoleSettings, ServiceSettings, StoreSettings, load
from tests.support.each import each

GOOD = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "very-secret-token",
    "TWILIO_NUMBER": "+14155550100",
    "CONFERRAL_PUBLIC_URL": "https://voice.example.com/conferral/",
}


#: Settings of which one without the other is refused.
PAIRS = {
    "TWILIO_API_": {"TWILIO_API_KEY": "SK" + "0" * 32, "TWILIO_API_SECRET": "x"},
    "CONFERRAL_OUTCOMES_": {
        "CONFERRAL_OUTCOMES_URL": "https://crm.example.com/outcomes?tenant=1",
        "CONFERRAL_OUTCOMES_SECRET": f"whsec_{'A' * 32}",
    },
    "CONFERRAL_DESK_PROXY_": {
        "CONFERRAL_DESK_PROXY_HEADER": "X-Forwarded-Email",
        "CONFERRAL_DESK_PROXY_FROM": "10.0.3.7",
        "CONFERRAL_DESK_PROXY_SECRET": "very-secret-very-secret",
    },
}


def pair_of(name: str) -> dict[str, str]:
    return next((pair for start, pair in PAIRS.items() if name.startswith(start)), {})


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as wrong:
        load(ServiceSettings, {name: value for name, value in {**GOOD, **changes}.items() if value is not None})
    return wrong.value.problems


def test_every_missing_setting_is_named_at_once():
    with pytest.raises(SettingsError) as wrong:
        load(ServiceSettings, {})
    named = {line.partition(":")[0] for line in wrong.value.problems}
    assert named == set(GOOD)


def test_console_without_a_token_explains_how_to_create_one():
    with pytest.raises(SettingsError) as wrong:
        load(ConsoleSettings, {})
    (problem,) = wrong.value.problems
    assert problem.startswith("CONFERRAL_API_TOKEN: missing; ")
    assert problem.endswith("`openssl rand -hex 32` creates one")


@each("name, value", [
    ("TWILIO_ACCOUNT_SID", "AC123"),
    ("TWILIO_NUMBER", "(415) 555-0100"),
    ("TWILIO_NUMBER", "+0"),
    ("TWILIO_NUMBER", "+1\uff14155550100"),
    ("TWILIO_API_KEY", "SK1"),
    ("TWILIO_API_URL", "ftp://x"),
    ("TWILIO_REGION", "Ireland"),
    ("TWILIO_EDGE", "dublin."),
    ("TWILIO_API_URL", "https://me:secret@api.example"),
    ("CONFERRAL_PUBLIC_URL", "voice.example.com"),
    ("CONFERRAL_PUBLIC_URL", "https://x.example/?a=1"),
    ("CONFERRAL_PUBLIC_URL", "https://x.example:https"),
    ("CONFERRAL_PUBLIC_URL", "https://x.example:65536/base"),
    ("CONFERRAL_PREFIX", "a{b"),
    ("CONFERRAL_PARTITIONS", "0"),
    ("CONFERRAL_RING_TIMEOUT", "1"),
    ("CONFERRAL_CONVERT_TIMEOUT", "0"),
    ("CONFERRAL_LONE_GRACE", "-1"),
    ("CONFERRAL_SESSION_TTL", "1"),
    ("CONFERRAL_CONFIRM", "always"),
    ("CONFERRAL_PARK_TIMEOUT", "0"),
    ("CONFERRAL_PARK_TIMEOUT", "90000"),
    ("CONFERRAL_HOLD_LIMIT", "-1"),
    ("CONFERRAL_HOLD_LIMIT", "86401"),
    ("CONFERRAL_DIALS_PER_SESSION", "-1"),
    ("CONFERRAL_DIALS_PER_SESSION", "1.5"),
    ("CONFERRAL_DIALS_PER_MINUTE", "-1"),
    ("CONFERRAL_SWEEP_INTERVAL", "0"),
    ("CONFERRAL_SWEEP_INTERVAL", "3601"),
    ("CONFERRAL_RECORD", "yes"),
    ("CONFERRAL_GREETING", "a" * 501),
    ("CONFERRAL_GREETING", "one\ntwo"),
    ("CONFERRAL_GREETING", "  "),
    ("CONFERRAL_PUBLIC_URL", "https://a.example/{x"),
    ("CONFERRAL_PUBLIC_URL", "https://@"),
    ("CONFERRAL_PUBLIC_URL", "https://[::1]x"),
    ("CONFERRAL_PUBLIC_URL", "https://a.example/\x01"),
    ("TWILIO_API_URL", "https://a\\b"),
    ("CONFERRAL_MUSIC", "https://[::1/a"),
    ("TWILIO_AUTH_TOKEN", " "),
    ("TWILIO_AUTH_TOKEN", "token\n"),
    ("TWILIO_WEBHOOK_KEYS", "webhooks_sharedkey_1"),
    ("TWILIO_WEBHOOK_KEYS", "key="),
    ("TWILIO_WEBHOOK_KEYS", "=secret"),
    ("TWILIO_WEBHOOK_KEYS", "key=two words"),
    ("TWILIO_WEBHOOK_KEYS", "key=secret,"),
    ("TWILIO_WEBHOOK_KEYS", "key=secret, other=secret"),
    ("TWILIO_WEBHOOK_KEYS", "key=secret,key=other"),
    ("TWILIO_WEBHOOK_KEYS", ",".join(f"key{number}=secret" for number in range(5))),
    ("CONFERRAL_API_TOKEN", "two words of a token"),
    ("CONFERRAL_API_TOKEN", "a=b" * 10),
    ("CONFERRAL_API_TOKEN", "a" * 19),
    ("TWILIO_TWIML_APP_SID", "AP123"),
    ("TWILIO_TWIML_APP_SID", "AC" + "0" * 32),
    ("CONFERRAL_TRANSFER_CALLER_ID", "+14155550100"),
    ("CONFERRAL_LANGUAGE", "<b>"),
    ("CONFERRAL_LANGUAGE", "it-IT"),
    ("CONFERRAL_LANGUAGE", "english"),
    ("CONFERRAL_LANGUAGE", "de_DE"),
    ("CONFERRAL_LOG_FORMAT", "xml"),
    ("CONFERRAL_OUTCOMES_URL", "crm.example.com"),
    ("CONFERRAL_OUTCOMES_URL", "https://me:secret@crm.example.com"),
    ("CONFERRAL_OUTCOMES_URL", "https://crm.example.com/#here"),
    ("CONFERRAL_OUTCOMES_SECRET", "A" * 32),
    ("CONFERRAL_OUTCOMES_SECRET", "whsec_" + "A" * 31),
    ("CONFERRAL_OUTCOMES_SECRET", "whsec_" + "A" * 28),
    ("CONFERRAL_OUTCOMES_SECRET", "whsec_" + "A" * 88),
    ("CONFERRAL_OUTCOMES_SECRET", "whsec_" + "é" * 32),
    ("CONFERRAL_OUTCOMES_SECRET", " ".join(["whsec_" + "A" * 32] * 3)),
    ("CONFERRAL_OUTCOMES_SECRET", "whsec_" + "A" * 32 + "  whsec_" + "B" * 32),
    ("CONFERRAL_OUTCOMES_INSECURE", "perhaps"),
    ("CONFERRAL_OUTCOMES_HEADER", "X-Api-Key"),
    ("CONFERRAL_OUTCOMES_HEADER", "X-Api-Key: "),
    ("CONFERRAL_OUTCOMES_HEADER", "X Api: key"),
    ("CONFERRAL_OUTCOMES_HEADER", "X-Api-Key: a\r\nX-Other: b"),
    ("CONFERRAL_OUTCOMES_HEADER", "X-Api-Key: é"),
    ("CONFERRAL_OUTCOMES_HEADER", "host: crm"),
    ("CONFERRAL_OUTCOMES_HEADER", "Content-Encoding: gzip"),
    ("CONFERRAL_OUTCOMES_HEADER", "Transfer-Encoding: chunked"),
    ("CONFERRAL_OUTCOMES_HEADER", "Webhook-Id: 7"),
    ("REDIS_URL", "http://localhost"),
])  # fmt: skip
def test_wrong_setting_is_named_and_explained(name, value):
    (line,) = problems(**{name: value})
    assert line.startswith(f"{name}: ")
    assert re.fullmatch(r'[A-Z_]+: ("[^"]*"|the value \(hidden, \d+ characters?\)) is not valid; it must be .+', line)
    assert not re.search(r"pattern|\^|\\d|\{\d|String|Input|string should|input should", line)
    (example,) = re.findall(rf", for example {name}=(.+)$", line)
    load(ServiceSettings, {**GOOD, **pair_of(name), name: example})


@pytest.mark.parametrize("kind", [ServiceSettings, ConsoleSettings])
def test_every_setting_has_an_example_that_is_valid(kind):
    for field in kind.model_fields.values():
        name = str(field.validation_alias)
        words, example = setting_errors.valid_values(name, field)
        assert words
        load(kind, {**GOOD, "CONFERRAL_API_TOKEN": "x" * 20, **pair_of(name), name: example})


def test_invalid_settings_are_shown_without_secrets_and_numbers():
    (line,) = problems(TWILIO_NUMBER="(415) 555-0100")
    assert line.startswith("TWILIO_NUMBER: ")
    assert "555" not in line.partition(";")[0]
    (line,) = problems(TWILIO_NUMBER="12025550100")  # without its plus sign
    assert line.startswith('TWILIO_NUMBER: "…00" is not valid; it must be +, ')
    (line,) = problems(REDIS_URL="http://me:very-secret@cache")
    assert '"http://***@cache"' in line
    for url in (
        "me:very-secret@cache",
        "redis:/me:very-secret@cache",
        "http://:very/secret@cache",
        "http://v@ry:s@cache",
    ):
        (line,) = problems(REDIS_URL=url)
        assert '***@cache"' in line
        assert not re.search("very|secret|ry:s", line)
    for password in ("very&secret", "very@secret"):
        (line,) = problems(REDIS_URL=f"http://cache/0?db=1&password={password}")
        assert line.startswith('REDIS_URL: "http://cache/0?db=1&password=***" is not valid; ')
    (line,) = problems(CONFERRAL_MUSIC="https://cdn.example/a.mp3?version=2&Token=very#secret")
    assert line.startswith('CONFERRAL_MUSIC: "https://cdn.example/a.mp3?version=2&Token=***" is not valid; ')
    (line,) = problems(TWILIO_ACCOUNT_SID="0123456789abcdef0123456789abcdef")
    assert line.startswith('TWILIO_ACCOUNT_SID: "01…" is not valid; ')
    (line,) = problems(CONFERRAL_API_TOKEN="very-secret word")
    assert line.startswith("CONFERRAL_API_TOKEN: the value (hidden, 16 characters) is not valid; ")


def test_each_webhook_key_has_its_secret():
    keys = load(ServiceSettings, {**GOOD, "TWILIO_WEBHOOK_KEYS": "key-1=a==,KEY_2=b=c"}).webhook_keys
    assert [(name, secret.get_secret_value()) for name, secret in keys] == [("key-1", "a=="), ("KEY_2", "b=c")]
    (line,) = problems(TWILIO_WEBHOOK_KEYS="key=very secret")
    assert "very" not in line


@each("region, host", [
    ("ie1", "api.dublin.ie1.twilio.com"),
    ("au1", "api.sydney.au1.twilio.com"),
    ("br1", "api.sao-paulo.br1.twilio.com"),
    ("de1", "api.frankfurt.de1.twilio.com"),
    ("jp1", "api.tokyo.jp1.twilio.com"),
    ("sg1", "api.singapore.sg1.twilio.com"),
    ("us2", "api.umatilla.us2.twilio.com"),
])  # fmt: skip
def test_host_that_twilio_has_switched_off_is_refused_with_the_one_that_works(region, host):
    for kind, more in ((ServiceSettings, {}), (ConsoleSettings, {"CONFERRAL_API_TOKEN": "x" * 20})):
        for url in (f"https://api.{region}.twilio.com/", f"https://API.{region.upper()}.Twilio.com:443"):
            with pytest.raises(SettingsError) as wrong:
                load(kind, {**GOOD, **more, "TWILIO_API_URL": url})
            (line,) = wrong.value.problems
            begin = f"TWILIO_API_URL: Twilio has switched this host off: use https://{host}; given: "
            assert line.startswith(begin), line
        for url in (f"https://{host}", "https://api.twilio.com", f"https://api.{region}.twilio.com.example"):
            assert load(kind, {**GOOD, **more, "TWILIO_API_URL": url}).api_url == url


@each("given, host", [
    ({"TWILIO_REGION": "us1"}, "api.us1.twilio.com"),
    ({"TWILIO_REGION": "ie1", "TWILIO_EDGE": "dublin"}, "api.dublin.ie1.twilio.com"),
    ({"TWILIO_EDGE": "sao-paulo"}, "api.sao-paulo.us1.twilio.com"),
    ({"TWILIO_REGION": "ie1", "TWILIO_API_URL": "https://proxy.example"}, "proxy.example"),
])  # fmt: skip
def test_region_and_edge_make_the_rest_apis_url_unless_one_is_set(given, host):
    assert load(ServiceSettings, GOOD | given).api_url == f"https://{host}"


@each("edge, why", [("", "missing; region au1 needs its edge"), ("dublin", '"dublin" is not the edge of region au1')])
def test_region_needs_its_edge(edge, why):
    given = problems(TWILIO_REGION="au1", TWILIO_EDGE=edge)
    assert given == (f"TWILIO_EDGE: {why}: TWILIO_EDGE=sydney; or set TWILIO_API_URL",)


def test_api_key_and_secret_go_together():
    assert problems(TWILIO_API_KEY="SK" + "0" * 32)[0].startswith("TWILIO_API_SECRET: missing")
    assert problems(TWILIO_API_SECRET="x")[0].startswith("TWILIO_API_KEY: missing")


@each("url", ["http://localhost:9/a", "http://127.0.0.2/a", "http://[::1]:9/", "https://crm.example.com"])
def test_outcomes_are_sent_over_https_or_on_loopback(url):
    pair = {"CONFERRAL_OUTCOMES_URL": url, "CONFERRAL_OUTCOMES_SECRET": f"whsec_{'A' * 32} whsec_{'B' * 84}BA=="}
    assert load(ServiceSettings, {**GOOD, **pair}).outcomes_url == url


def test_outcomes_go_unencrypted_beyond_loopback_only_if_the_setting_says_so():
    given = {"CONFERRAL_OUTCOMES_URL": "http://crm:8080/a", "CONFERRAL_OUTCOMES_SECRET": f"whsec_{'A' * 32}"}
    (line,) = problems(**given)
    assert line.startswith(
        "CONFERRAL_OUTCOMES_URL: http:// only on loopback, and with CONFERRAL_OUTCOMES_INSECURE=true"
    )
    settings = load(ServiceSettings, {**GOOD, **given, "CONFERRAL_OUTCOMES_INSECURE": "true"})
    assert settings.outcomes_url == "http://crm:8080/a"


def test_header_of_outcomes_may_hold_a_secret():
    settings = load(ServiceSettings, {**GOOD, "CONFERRAL_OUTCOMES_HEADER": "Authorization: Bearer very-secret"})
    assert "very-secret" not in repr(settings)
    (line,) = problems(CONFERRAL_OUTCOMES_HEADER="Authorization very-secret")
    assert "very-secret" not in line


def test_url_and_secret_of_outcomes_go_together():
    for given, value in PAIRS["CONFERRAL_OUTCOMES_"].items():
        (missing,) = PAIRS["CONFERRAL_OUTCOMES_"].keys() - {given}
        (line,) = problems(**{given: value})
        assert line == f"{missing}: missing; CONFERRAL_OUTCOMES_URL and CONFERRAL_OUTCOMES_SECRET go together"


def test_a_sign_in_proxy_has_header_addresses_and_secret():
    proxy = PAIRS["CONFERRAL_DESK_PROXY_"]
    for left_out in proxy:
        (line,) = problems(**proxy | {left_out: None})
        assert line == f"{left_out}: missing; {', '.join([*proxy][:2])}, and {[*proxy][2]} go together"
    for name, value in (("HEADER", "a b"), ("FROM", "10.0.0.1/8"), ("FROM", "proxy"), ("SECRET", "very-secret")):
        (line,) = problems(**proxy | {f"CONFERRAL_DESK_PROXY_{name}": value})
        assert line.startswith(f"CONFERRAL_DESK_PROXY_{name}: ")
        assert "very-secret" not in line
    assert "very-secret" not in repr(load(ServiceSettings, GOOD | proxy))


def test_the_desk_is_where_browsers_allow_a_microphone():
    for url in ("https://desk.example.com/x", "http://localhost:8080"):
        assert load(ServiceSettings, {**GOOD, "CONFERRAL_DESK_URL": url}).desk_url == url
    (line,) = problems(CONFERRAL_DESK_URL="http://desk.example.com")
    assert line.startswith("CONFERRAL_DESK_URL: ")


def test_secrets_are_in_no_message_and_no_repr():
    more = {"TWILIO_AUTH_TOKEN_SECONDARY": "another-secret", "CONFERRAL_API_TOKEN": "another-secret-token"}
    more["TWILIO_WEBHOOK_KEYS"] = "key=another-secret"
    settings = load(ServiceSettings, {**GOOD, **more})
    for shown in (repr(settings), str(settings)):
        assert "very-secret-token" not in shown
        assert "another-secret" not in shown
    lines = problems(TWILIO_NUMBER="x", CONFERRAL_PARTITIONS="y", CONFERRAL_API_TOKEN="very-secret word")
    assert len(lines) == 3
    assert "very-secret" not in "\n".join(lines)


def test_given_values_hide_the_environment_and_the_env_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("CONFERRAL_PREFIX=from-the-file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    given = load(StoreSettings, {})
    assert (given.prefix, given.redis_url) == ("conferral", "redis://localhost:6379/0")
    found = load(StoreSettings)
    assert (found.prefix, found.redis_url) == ("from-the-file", "redis://elsewhere:1/0")


def test_an_env_file_that_can_not_be_read_is_a_wrong_setting(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes("CONFERRAL_GREETING=Grüß Gott".encode("latin-1"))
    with pytest.raises(SettingsError) as wrong:
        load(StoreSettings)
    assert wrong.value.problems == (".env: can't be read (not UTF-8)",)


def test_empty_value_counts_as_not_given():
    assert load(ServiceSettings, {**GOOD, "CONFERRAL_AGENT": ""}).agent is None
