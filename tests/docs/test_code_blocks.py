"""The commands in the docs exist, and the output they show is the code's."""

import ast
import inspect
import json
import re
import shlex
import tomllib
from urllib.parse import urlsplit

import pytest
import yaml
from aiohttp import web
from dotenv import dotenv_values

import offhook as sandbox
from conferral import Client
from conferral.commands.parser import parse
from conferral.runtime import setting_errors
from conferral.runtime.settings import ServiceSettings, load
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.reasons import EndReason
from conferral.storage.command_stream import command_id_of
from conferral.telephony.directory import load_directory
from offhook.command_line import make_parser
from tests.docs.generated import ROOT
from tests.docs.markdown_files import BLOCK, blocks, each_page, typed

#: Options of every command, or of the program, that are handled before a command's own.
EVERYWHERE = {"--help", "-h", "--install-completion", "--version"}


def named_commands(path):
    """Commands to be typed, and those inside sentences: `make docs`, `conferral check --json`."""
    yield from typed(blocks, path)
    text = BLOCK.sub("", path.read_text("utf-8"))
    for code in re.findall(r"`((?:make|conferral) [^`]+)`", text):
        yield code.split()


@each_page
def test_the_command_line_has_the_commands_and_options_that_are_named(markdown, commands):
    for command in named_commands(markdown):
        words = [word for word in command if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words[0] != "conferral" or len(words) < 2 or words[1] in EVERYWHERE:
            continue
        assert words[1] in commands, f"conferral {words[1]}"
        meant = commands[words[1]]
        if len(words) > 2 and words[2] in getattr(meant, "commands", ()):
            meant = meant.commands[words[2]]
        parameters = meant.get_params(meant.make_context(words[1], [], resilient_parsing=True))
        known = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
        options = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
        assert options <= known | EVERYWHERE


@each_page
def test_commands_that_are_published_by_hand_are_valid(markdown):
    for command in typed(blocks, markdown):
        if command[:3] != ["redis-cli", "XADD", "conferral:commands"]:
            continue
        assert command[3] == "*"
        fields = dict(zip(command[4::2], command[5::2], strict=True))
        parse(fields)
        command_id_of(fields, "1-0")


@each_page
def test_blocks_of_data_and_programs_can_be_read(markdown):
    for text in blocks(markdown, "json"):
        json.loads(text)
    for text in blocks(markdown, "yaml", "yml"):
        yaml.safe_load(text)
    for text in blocks(markdown, "toml"):
        tomllib.loads(text)


@pytest.fixture
async def webhook_url():
    """A webhook that connects every caller to alice."""

    async def dial(_request):
        document = '<Response><Dial answerOnBridge="true"><Client>alice</Client></Dial></Response>'
        return web.Response(text=document, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/voice/inbound", dial)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_the_example_of_a_test_with_the_sandbox_runs(webhook_url):
    example = next(text for text in blocks(ROOT / "sandbox" / "README.md", "python") if "async def talk" in text)
    names = {}

    exec(compile(example.replace("http://127.0.0.1:8080", webhook_url), "sandbox/README.md", "exec"), names)

    await names["talk"]()


def test_the_composition_of_the_example_starts_the_sandbox():
    composition, workflow = map(yaml.safe_load, blocks(ROOT / "sandbox" / "README.md", "yaml"))
    twilio, program = (composition["services"][name] for name in ("twilio", "app"))
    options = make_parser().parse_args(shlex.split(twilio["command"]))

    assert {urlsplit(program["environment"]["TWILIO_API_URL"]).hostname, "localhost"} == {*options.allow_host}
    assert (program["environment"]["TWILIO_ACCOUNT_SID"], program["environment"]["TWILIO_AUTH_TOKEN"]) == (
        sandbox.ACCOUNT_SID,
        sandbox.AUTH_TOKEN,
    )
    assert (ROOT / twilio["build"]["dockerfile"]).is_file()
    tested = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["check"]["steps"]
    (steps,) = (job["steps"] for job in workflow["jobs"].values())
    assert {it["uses"] for it in steps if "uses" in it} <= {it.get("uses") for it in tested}


def test_the_faults_of_the_example_are_known_to_the_sandbox():
    example = json.loads(blocks(ROOT / "sandbox" / "README.md", "json")[0])
    faults = sandbox.Faults()

    for wish in example.pop("once"):
        getattr(faults, wish.pop("what"))(**wish)
    for name in example:
        assert hasattr(faults, name)


# ---- .env.example ------------------------------------------------------------------------------------------------


ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
NAMES = {str(field.validation_alias): field for field in ServiceSettings.model_fields.values()}


def test_example_settings_load_and_name_a_dialable_agent():
    given = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
    to_fill_in = {name for name, value in given.items() if not value}

    assert to_fill_in == {str(it.validation_alias) for it in NAMES.values() if it.is_required()}
    filled_in = {name: setting_errors.valid_values(name, NAMES[name])[1] for name in to_fill_in}
    assert load_directory(load(ServiceSettings, given | filled_in)).default.agents


def test_the_example_names_every_setting_and_no_other():
    of_compose = {"REDIS_PASSWORD"}
    assert set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE)) == set(NAMES) | of_compose


def test_defaults_in_the_example_are_those_of_the_code():
    section = ENV_EXAMPLE.partition("these are the defaults")[2].partition("# ---")[0]
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.+)$", section, re.MULTILINE))

    assert len(shown) == 8
    for name, value in shown.items():
        assert float(value) == NAMES[name].default


#: Read by the tests alone.
FOR_TESTS = {
    "CONFERRAL_LIVE",
    "CONFERRAL_TEST_CHROMIUM",
    "CONFERRAL_TEST_PACE",
    "CONFERRAL_TEST_REDIS_SERVERS",
    "CONFERRAL_TEST_SHEET",
}


@each_page
def test_settings_that_pages_name_exist(markdown):
    if markdown.name == "CHANGELOG.md":
        return  # it names what there once was
    named = set(re.findall(r"\b((?:CONFERRAL|TWILIO)_[A-Z_]+[A-Z]|REDIS_URL)\b", markdown.read_text("utf-8")))

    assert named - FOR_TESTS <= set(NAMES)


# ---- docs/commands.md --------------------------------------------------------------------------------------------

COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")


def names_in_rows(text: str) -> list[str]:
    """The words in the first cells of a table's rows."""
    cells = re.findall(r"^\| (`[^|]+`) \| \S", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall("`([^`]+)`", cell)]


def test_every_command_has_its_row():
    rows = names_in_rows(COMMANDS_PAGE.partition("## From a terminal")[0])

    assert sorted(rows) == sorted(command.name for command in COMMANDS)


def test_every_word_of_why_a_session_ended_is_explained():
    page = (ROOT / "docs" / "reference" / "reasons.md").read_text("utf-8")
    rows = names_in_rows(page.partition("## `end_reason`")[2])

    assert sorted(rows) == sorted(reason.value for reason in EndReason)


# ---- the Python client -------------------------------------------------------------------------------------------

CLIENT_PAGE = ROOT / "docs" / "api.md"


def test_every_method_of_the_client_is_named():
    methods = {name for name, _ in inspect.getmembers(Client, callable) if not name.startswith("_")}
    text = CLIENT_PAGE.read_text("utf-8")

    commands = {command.name for command in COMMANDS}
    assert commands < methods
    assert [name for name in sorted(methods - commands) if f"`{name}`" not in text and f"`{name}()`" not in text] == []


def test_the_programs_call_methods_with_keywords_that_they_take():
    called = [
        node
        for block in blocks(CLIENT_PAGE, "python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "client"
    ]
    assert len(called) > 7
    for node in called:
        takes = inspect.signature(getattr(Client, node.func.attr)).parameters
        assert {keyword.arg for keyword in node.keywords} <= set(takes), ast.unparse(node)
