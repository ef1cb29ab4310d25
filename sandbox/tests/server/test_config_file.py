"""The file `offhook.toml`."""

import re
from pathlib import Path

import aiohttp
import pytest
from test_command_line import Command

from control_client import Control
from model_scenario import CUSTOMER
from offhook import NUMBER, Sandbox
from offhook.command.config import Config, read_config
from offhook.command.options import read_options
from offhook.command_line import main
from webhook_app import WebhookApp

ACCOUNT, KEY, APP = "AC" + "7" * 32, "SK" + "8" * 32, "AP" + "9" * 32
FILE = f"""
account_sid = "{ACCOUNT}"
auth_token = "of-the-file"
speed = 20
port = 9000
strict = true
map = {{ "https://my.example" = "APP" }}

[api_keys]
{KEY} = "secret"

[numbers."{NUMBER}"]
voice_url = "https://my.example/voice"
name = "Support"

[applications.{APP}]
voice_url = "https://my.example/browser"

[phones."client:alice"]
name = "Alice"
answer_after_s = 1
keys = "1"

[[phones."client:bob".in_turn]]
outcome = "busy"
[[phones."client:bob".in_turn]]
answer_after_s = 2

[behavior]
busy_rings = true
say_s_per_character = 1
"""


def write(folder: Path, text: str) -> str:
    path = folder / "offhook.toml"
    path.write_text(text)
    return str(path)


def sandbox_of(config: Config) -> Sandbox:
    sandbox = Sandbox(**{**config.fields, **read_options({}, config.options), "port": 0})
    sandbox.set_up_with(config.set_up)
    return sandbox


async def test_account_is_what_the_file_says(app: WebhookApp, tmp_path: Path) -> None:
    app.on("/voice", "<Response><Pause length='60'/></Response>")
    config = read_config(write(tmp_path, FILE.replace("APP", app.url)))
    assert config.options["port"] == 9000
    async with sandbox_of(config) as sandbox:
        assert (sandbox.account_sid, sandbox.auth_token, sandbox.strict) == (ACCOUNT, "of-the-file", True)
        assert (sandbox.speed, sandbox.model.behavior.busy_rings) == (20.0, True)
        assert "of-the-file" not in sandbox.introduce()
        login = {"Authorization": aiohttp.encode_basic_auth(KEY, "secret")}
        url = f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT}"
        async with aiohttp.request("GET", f"{url}/Applications/{APP}.json", headers=login) as answer:
            assert (await answer.json())["voice_url"] == "https://my.example/browser"
        await sandbox.call_in(CUSTOMER, NUMBER)
        await sandbox.wait_until(lambda: app.at("/voice"))


async def test_start_and_reset_restore_what_the_file_says(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, FILE.replace("APP", "http://127.0.0.1:9")))

    def content(sandbox: Sandbox) -> object:
        phones = {it.address: (it.name, str(it.default), len(it.next_scripts)) for it in sandbox.phones.values()}
        return phones, dict(sandbox.model.state.numbers)

    async with sandbox_of(config) as sandbox, aiohttp.ClientSession() as session:
        first = content(sandbox)
        assert first[0] == {  # type: ignore[index]
            "client:alice": ("Alice", "answers after 1 s, presses 1", 0),
            "client:bob": ("", "answers after 2 s", 1),
        }
        sandbox.add_number(NUMBER, voice_url="http://changed.example")
        sandbox.phone("client:alice").script(outcome="busy")
        sandbox.phone("client:bob").next_script()
        sandbox.add_number("+12025550142")
        await Control(session, sandbox.url).post("/reset")
        added = sandbox.model.state.numbers.pop("+12025550142")  # a reset keeps those that the file doesn't have
        assert (content(sandbox), added.voice_url) == (first, "")
    async with sandbox_of(config) as again:
        assert content(again) == first


@pytest.mark.parametrize("given", [[], ["--config", "other.toml"]])
async def test_command_reads_the_file(given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ("other.toml" if given else "offhook.toml")).write_text('[numbers."+12025550142"]')
    async with Command(*given) as command:
        assert command.printed["numbers"] == "+12025550142"


def test_options_and_variables_win_over_the_file() -> None:
    file = {"port": 1, "host": "::1", "strict": True, "allow_host": ["a"], "map": {"http://a": "http://b"}}
    found = read_options({}, file)
    assert found.items() >= {"port": 1, "host": "::1", "strict": True, "allow_hosts": ("a",)}.items()
    assert found["maps"] == file["map"]
    variables = {"OFFHOOK_PORT": "2", "OFFHOOK_STRICT": "no", "OFFHOOK_MAP": "http://c=http://d"}
    found = read_options(variables, file)
    assert (found["port"], found["strict"], found["maps"]) == (2, False, {"http://c": "http://d"})
    assert read_options(variables, file, port="3", map=["http://e=http://f"])["port"] == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("port =", "offhook.toml: Invalid value"),
        ("colour = 'red'", "colour: no such field: there are port, "),
        ("port = '8081'", "port: must be an integer"),
        ("port = 99999", "port: '99999' is no port"),
        ("account_sid = 'AC1'", "account_sid: 'AC1' is no SID"),
        ("auth_token = ''", "must not be empty"),
        ("speed = 0", "speed: must be above 0"),
        ("[api_keys]\nSK1 = 'x'", "api_keys: 'SK1' is no SID"),
        (
            "[numbers.'+12025550142']\nvoiceurl = 'x'",
            "numbers.+12025550142.voiceurl: no such field: there are voice_url",
        ),
        ("[numbers.'+12025550142']\nvoice_url = 'x'", "numbers.+12025550142: voice_url: 'x' is no URL"),
        ("[numbers.5]", "numbers.5: '5' is neither a number"),
        ("[phones.alice]", "phones.alice: no phone has the address 'alice'"),
        ("[phones.'client:a']\nanswer_after_s = -1", "phones.client:a.answer_after_s: must be at least 0"),
        ("[phones.'client:a']\noutcome = 'busy'\ndigits = '1'", "phones.client:a: a phone with the outcome 'busy'"),
        ("[phones.'client:a']\ndigits = '1'\nin_turn = [{}]", "phones.client:a: digits belongs into one of the"),
        ("[phones.'client:a']\nin_turn = []", "phones.client:a: give at least one script"),
        ("[behavior]\nbusy_rings = 'yes'", "behavior.busy_rings: must be true or false"),
        ("[behavior]\nlate_answer = 'ring'", "behavior.late_answer: there are hang-up, new-conference"),
        ("[map]\na = 'b'", "'a' is no base URL to map"),
    ],
)
def test_wrong_file_is_one_line(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text)
    with pytest.raises(SystemExit, match="2"):
        main([])
    error = capsys.readouterr().err
    assert (problem in error, error.count("\n")) == (True, 1), error


def test_file_that_lacks_is_named_if_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_config(None) == Config()
    with pytest.raises(ValueError, match=re.escape("can't read no.toml: no such file")):
        read_config("no.toml")


def test_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    sandbox = sandbox_of(read_config(write(tmp_path, example)))
    assert sorted(sandbox.phones) == ["+12025550123", "client:alice"]
