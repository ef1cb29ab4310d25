"""Every fault of the list has a test that bears its number."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.fault_injection.faults import FAULTS

HERE = Path(__file__).resolve().parent
_NAME = re.compile(r"test_fault_(\d\d)_[a-z0-9_]+")


def numbered_tests() -> dict[int, list[str]]:
    """The names of the tests of this folder, by the number that they bear."""
    found = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), path.name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := _NAME.fullmatch(node.name)):
                found[int(match[1])].append(f"{path.name}:{node.name}")
    return dict(found)


def test_every_fault_has_a_test_and_every_numbered_test_a_fault():
    assert numbered_tests().keys() == FAULTS.keys()
