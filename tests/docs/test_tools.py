"""The commands as tools for language models: what the schemas accept, the commands' own checks accept as well."""

import json
import re
from importlib.resources import files

import jsonschema
import pytest
import re2

from conferral.commands.parser import BadCommandError, parse
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from tests.docs.generated import ROOT
from tests.support.each import each
from tests.webhooks.api.test_commands import EXAMPLES

TOOLS = {tool["name"]: tool for tool in json.loads((ROOT / "docs/reference/tools.json").read_text("utf-8"))}
CALL = {"agent": "client:alice", "customer": "+14155550123", "ref": "T-7"}


def example(name: str) -> dict[str, object]:
    given = CALL if name == "call" else {"session": "CA1", **EXAMPLES[name]}
    texts = ("muted", "confirm", "timeout")
    return given | {field: json.loads(given[field]) for field in texts if isinstance(given.get(field), str)}


def test_every_command_is_a_tool():
    assert list(TOOLS) == list(COMMANDS_BY_NAME)


@each("name", TOOLS)
def test_tool_takes_what_the_command_takes(name):
    tool = TOOLS[name]
    assert tool.keys() == {"name", "description", "parameters"}
    # Source: OpenAI and Anthropic docs, function names and tool names.
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", tool["name"])
    assert tool["description"].endswith(".")
    schema = jsonschema.Draft202012Validator(tool["parameters"])
    schema.check_schema(tool["parameters"])

    parse({"type": name, **example(name)})
    schema.validate(example(name))

    assert not schema.is_valid({**example(name), "strange": ""})
    for needed in tool["parameters"]["required"]:
        assert not schema.is_valid({field: value for field, value in example(name).items() if field != needed})


@each("name", TOOLS)
def test_providers_of_models_take_the_schema(name):
    """They refuse every request that lists one with lookaround, or an empty word; the command checks all the same."""
    for field, schema in TOOLS[name]["parameters"]["properties"].items():
        assert schema["type"] in ("string", "boolean", "integer"), field
        assert schema.keys() <= {"type", "description", "enum", "pattern", "maxLength", "minimum", "maximum"}, field
        assert "" not in schema.get("enum", ()), field
        pattern = schema.get("pattern", "^$")
        re2.compile(pattern)  # it has no lookaround
        assert (pattern[0], pattern[-1]) == ("^", "$"), field


def test_what_no_schema_refuses_the_command_does():
    given = {"session": "CA1", "to": "+14155550123", "party": "customer"}
    jsonschema.validate(given, TOOLS["add"]["parameters"])
    with pytest.raises(BadCommandError, match="party must be a new name"):
        parse({"type": "add", **given})
    assert "reserved: customer" in TOOLS["add"]["parameters"]["properties"]["party"]["description"]


def test_the_tools_come_with_the_package():
    assert json.loads((files("conferral") / "tools.json").read_text("utf-8")) == [*TOOLS.values()]
