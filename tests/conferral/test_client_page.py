"""`docs/client.md` names what there is, and its programs send valid commands."""

import ast
import inspect
import re
from pathlib import Path

from conferral import Client
from conferral.statemachine.events.commands import COMMANDS_BY_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_method_of_the_client_is_named():
    methods = {name for name, _ in inspect.getmembers(Client, callable) if not name.startswith("_")}

    assert set(COMMANDS_BY_NAME) < methods
    assert [name for name in sorted(methods) if f"`{name}`" not in PAGE and f"`{name}()`" not in PAGE] == []


def test_the_programs_call_methods_with_keywords_that_they_take():
    called = [
        node
        for block in BLOCKS
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "client"
    ]
    assert len(called) > 7
    for node in called:
        takes = inspect.signature(getattr(Client, node.func.attr)).parameters
        assert {keyword.arg for keyword in node.keywords} <= set(takes), ast.unparse(node)
