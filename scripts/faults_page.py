"""Generate docs/reference/faults.md: the fault list, each fault with its tests."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.fault_injection.fault_list import NOT_TESTED
from tests.fault_injection.faults import FAULTS

_ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"test_fault_(\d\d)_([a-z0-9_]+)")

_HEAD = """\
# Faults

<!-- Made by `make docs` from tests/fault_injection/. -->

What goes wrong around Conferral, what has to follow, and the tests that play it: with a real Redis, real signals, a
relay that drops, cuts and delays, and the faults of the local Twilio. After each the same is asserted
([invariants.py](../../tests/fault_injection/invariants.py)): nobody is dialed twice for one intent; nothing is left in
Redis after the calls; the log replays to the stored state, without a gap in its versions; nobody was alone for longer
than the grace and a sweep. Those marked with * run in `make soak`, the others in `make test`.

| No. | What goes wrong | What follows | Played by |
| --- | --- | --- | --- |
"""


def faults_page() -> str:
    """Return the page."""
    tests = _tests()
    lines = [
        f"| {number} | {fault.fault} | {fault.follows} | {tests.get(number) or NOT_TESTED.get(number, '')} |"
        for number, fault in sorted(FAULTS.items())
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _tests() -> dict[int, str]:
    """Return links to each fault's tests."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted((_ROOT / "tests" / "fault_injection").glob("test_*.py")):
        module = ast.parse(path.read_text("utf-8"), path.name)
        all_long = _is_soak(module)
        for node in module.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if match := _NAME.fullmatch(node.name):
                is_long = all_long or any("soak" in ast.unparse(one) for one in node.decorator_list)
                star = "*" if is_long else ""
                found[int(match[1])].append(
                    f"[{match[2].replace('_', ' ')}](../../tests/fault_injection/{path.name}){star}"
                )
    return {number: ", ".join(links) for number, links in found.items()}


def _is_soak(module: ast.Module) -> bool:
    """Whether the whole file belongs to `make soak`."""
    marks = (
        node.value for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    )  # fmt: skip
    return any("soak" in ast.unparse(mark) for mark in marks)
