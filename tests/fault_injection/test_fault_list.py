"""Every fault of the list has a test that bears its number, or a file in which it is played."""

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
    elsewhere = {number: fault.played_in for number, fault in FAULTS.items() if fault.played_in}
    assert sorted([*numbered_tests(), *elsewhere]) == sorted(FAULTS)
    assert all((HERE.parent / path).is_file() for path in elsewhere.values())
