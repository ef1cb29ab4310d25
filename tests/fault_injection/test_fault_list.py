"""Every fault of the list has a test that bears its number, or a reason why it can't be played here."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.fault_injection.fault_list import NOT_TESTED
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


def test_every_fault_has_a_test_or_a_reason():
    assert not FAULTS.keys() - numbered_tests().keys() - NOT_TESTED.keys()


def test_no_test_plays_a_fault_that_is_not_on_the_list():
    strange = (numbered_tests().keys() | NOT_TESTED.keys()) - FAULTS.keys()
    assert not strange, {number: numbered_tests().get(number) for number in strange}


def test_tested_faults_need_no_reason():
    assert not numbered_tests().keys() & NOT_TESTED.keys()
    assert all(len(reason.split()) > 3 for reason in NOT_TESTED.values())


def test_a_name_plays_one_fault():
    names = [name.partition(":")[2] for names in numbered_tests().values() for name in names]
    assert len(names) == len(set(names))
