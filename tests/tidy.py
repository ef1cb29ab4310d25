"""What no tracked file may hold, each with what to use instead."""

import ast
import gc
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from conferral.runtime.log import KEYS
from tests.support import people
from tests.support.groups import GROUPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("conferral", "sandbox/offhook", "statemachine", "webhooks", "worker")
FILE_LINES_MAX = 500
CLASS_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
#: Of the first line of a docstring. Source: PEP 8, section "Maximum Line Length".
SUMMARY_LENGTH_MAX = 72
#: Functions that take the name of what they read or replace.
_BY_NAME = {"setattr", "delattr", "getattr", "hasattr", "patch", "object"}
LOG_LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


@cache
def tracked_files() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:  # no work tree, as in a source archive
        skipped = {".venv", "build", "dist", "__pycache__"}
        found = (path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.parts))
        return tuple(path.relative_to(ROOT).as_posix() for path in found)
    names = listed.stdout.decode().split("\0")
    return tuple(name for name in names if name and (ROOT / name).is_file())


PYTHON = [name for name in tracked_files() if name.endswith(".py")]
IN_PACKAGES = [name for name in PYTHON if name.startswith(tuple(f"{package}/" for package in PACKAGES))]
IN_TESTS = [name for name in PYTHON if name.startswith(("tests/", "sandbox/tests/"))]
TEXT = [name for name in tracked_files() if not name.endswith((".lock", ".png", ".webp", ".gif", ".wav", ".mp3"))]


_CHECKED = (
    ast.Attribute,
    ast.AsyncFunctionDef,
    ast.Call,
    ast.ClassDef,
    ast.Constant,
    ast.FunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.JoinedStr,
    ast.Module,
    ast.Assert,
    ast.While,
)


@cache
def nodes_of(name: str) -> tuple[ast.AST, ...]:
    """The syntax nodes of a file, of the kinds that are checked here: each file is parsed once."""
    tree = ast.parse((ROOT / name).read_text("utf-8"), name)
    found = tuple(node for node in ast.walk(tree) if isinstance(node, _CHECKED))
    gc.freeze()  # millions of nodes that stay: the collector need not scan them again and again
    return found


@cache
def calls(name: str) -> tuple[tuple[ast.Call, str], ...]:
    """Every call of a file, with what is called as it is written: `time.sleep`; of what has no name, nothing."""
    return tuple((node, _dotted(node.func)) for node in nodes_of(name) if isinstance(node, ast.Call))


def _dotted(node: ast.expr) -> str:
    """A name as it is written; far quicker than writing out any expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_groups_of_tests_exist():
    report([f"{name}: in GROUPS" for name in GROUPS if not (ROOT / name).exists()])


def test_tests_do_not_sleep():
    """A sleep polls in a `while` loop, or its line says in `# a delay: WHY` why time itself is what the test needs."""
    problems = []
    for name in IN_TESTS:
        if name.startswith("tests/simulation/"):
            continue  # its time is virtual
        polling = {id(call) for node in nodes_of(name) if isinstance(node, ast.While) for call in ast.walk(node)}
        lines = (ROOT / name).read_text("utf-8").splitlines()
        problems += [
            f"{name}:{node.lineno}: {called}: wait for what is to happen, with a deadline, or say why: `# a delay: WHY`"
            for node, called in calls(name)
            if called in ("asyncio.sleep", "time.sleep")
            and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
            and id(node) not in polling
            and "# a delay: " not in lines[node.lineno - 1]
        ]
    report(problems)


def test_tests_wait_for_what_a_leg_hears():
    """A session shows a state before the sandbox plays the sound that follows from it."""
    report(
        [
            f"{name}:{node.lineno}: compares what a leg hears at one moment: use until_hears()"
            for name in IN_TESTS
            if name.startswith(("tests/flows/", "tests/fault_injection/", "tests/processes/", "tests/soak/"))
            for node in nodes_of(name)
            if isinstance(node, ast.Assert)
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and _dotted(call.func).rpartition(".")[2] == "hears"
        ]
    )


def _is_private(dotted: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in dotted.split("."))


def test_tests_name_nothing_private():
    """What ruff's SLF001 does not see: imports, what a base class has, and names in strings."""
    problems = []
    for name in IN_TESTS:
        for node in nodes_of(name):
            found: list[str] = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = [getattr(node, "module", None) or "", *(one.name for one in node.names)]
            elif isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in _BY_NAME:
                constants = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                found = [one for one in constants if isinstance(one, str)]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
                found = [node.attr] if _dotted(node.value.func) == "super" else []
            problems += [f"{name}:{node.lineno}: {one}: give it a public name" for one in found if _is_private(one)]
    report(problems)


def test_addresses_of_people_are_written_in_one_place():
    """Two constants of one name with different addresses mislead; one address has one name."""
    known = {value: name for name, value in vars(people).items() if name.isupper() and name != "AGENT"}
    constants = re.compile(r'^[A-Z][A-Z_, ]* = (?:"[^"]*"(?:, |$))+', re.MULTILINE)
    report(
        [
            f"{name}: {address} is a constant: use tests.support.people.{known[address]}"
            for name in IN_TESTS
            if name != "tests/support/people.py"
            and not name.startswith("sandbox/")  # the sandbox has people of its own
            for found in constants.finditer((ROOT / name).read_text("utf-8"))
            for address in re.findall(r'"([^"]*)"', found[0])
            if address in known
        ]
    )


def test_keys_of_redis_are_made_in_one_place():
    looks_like_a_key = re.compile(r"prefix\}+:|\{\{\{|:(events|lease|outbox|timers|live|ended|session|log|call|dead):")
    report(
        [
            f"{name}:{node.lineno}: {ast.unparse(node)}: give it a name in conferral/storage/keys.py"
            for name in IN_PACKAGES
            if name != "conferral/storage/keys.py"
            for node in nodes_of(name)
            if isinstance(node, ast.JoinedStr) and looks_like_a_key.search(ast.unparse(node))
        ]
    )


def test_no_parser_reads_what_strangers_send():
    """To parse 8 KB of a header may take seconds, in which no caller is answered. Ruff bans `yarl.URL` for the same."""
    parsers = {"URL", "urlsplit", "urlparse", "SimpleCookie"}
    report(
        [
            f"{name}:{node.lineno}: {ast.unparse(node)}: compare it as it is, or use runtime.web.pages.sent_cookie"
            for name in IN_PACKAGES
            for node in nodes_of(name)
            if (isinstance(node, ast.Attribute) and _dotted(node).endswith("request.cookies"))
            or (
                isinstance(node, ast.Call)
                and _dotted(node.func).rpartition(".")[2] in parsers
                and any(isinstance(one, ast.Attribute) and one.attr in ("headers", "host") for one in ast.walk(node))
            )
        ]
    )


def test_scripts_are_called_in_one_place():
    problems = []
    for name in IN_PACKAGES:
        if name == "conferral/storage/scripts/__init__.py":
            continue
        for node in nodes_of(name):
            is_call = isinstance(node, ast.Attribute) and node.attr in ("eval", "evalsha", "register_script")
            is_word = isinstance(node, ast.Constant) and node.value in ("EVAL", "EVALSHA")
            if is_call or is_word:
                problems.append(f"{name}:{node.lineno}: {ast.unparse(node)}: use conferral/storage/scripts/__init__.py")
    report(problems)


def test_files_are_short():
    report(
        [
            f"{name}: {count} lines, {FILE_LINES_MAX} at most: split it by subject"
            for name in PYTHON
            if (count := len((ROOT / name).read_text("utf-8").splitlines())) > FILE_LINES_MAX
        ]
    )


def test_functions_and_classes_are_short():
    problems = []
    for name in PYTHON:
        for node in nodes_of(name):
            is_class = isinstance(node, ast.ClassDef) and name.startswith(PACKAGES)
            if not is_class and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            most = CLASS_LINES_MAX if is_class else FUNCTION_LINES_MAX
            if length > most:
                problems.append(f"{name}:{node.lineno}: {node.name} has {length} lines, {most} at most")
    report(problems)


def test_docstrings_begin_with_a_short_line():
    problems = []
    for name in IN_PACKAGES:
        for node in nodes_of(name):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                length = len((ast.get_docstring(node) or "").partition("\n")[0])
                if length > SUMMARY_LENGTH_MAX:
                    line = node.body[0].lineno
                    problems.append(f"{name}:{line}: first line of {length} characters, {SUMMARY_LENGTH_MAX} at most")
    report(problems)


def test_levels_of_the_log_are_called_and_not_passed_around():
    """A name that is logged through a variable can't be found by searching for it."""
    problems = []
    for name in IN_PACKAGES:
        called = {id(node.func) for node, _ in calls(name)}
        problems += [
            f"{name}:{node.lineno}: {ast.unparse(node)} is passed around: call it with a literal name"
            for node in nodes_of(name)
            if isinstance(node, ast.Attribute)
            and node.attr in LOG_LEVELS
            and isinstance(node.value, ast.Name)
            and node.value.id in ("log", "logger", "_log")
            and id(node) not in called
        ]
    report(problems)


def log_calls(name: str) -> Iterator[ast.Call]:
    for node, called in calls(name):
        owner, _, level = called.rpartition(".")
        if owner in ("log", "logger", "_log") and level in LOG_LEVELS:
            yield node


def test_log_events_have_names_that_hold_nothing_variable():
    problems = []
    for name in IN_PACKAGES:
        for node in log_calls(name):
            first = node.args[0] if node.args else None
            value = first.value if isinstance(first, ast.Constant) else None
            if not isinstance(value, str) or not re.fullmatch(r"[a-z]+(_[a-z]+)+", value):
                problems.append(f"{name}:{node.lineno}: the first argument must be a literal such as 'lease_acquired'")
            elif len(node.args) > 1:
                problems.append(f"{name}:{node.lineno}: {value}: what varies goes under a key of runtime.log.KEYS")
    report(problems)


def test_log_lines_have_keys_of_the_closed_list():
    report(
        [
            f"{name}:{node.lineno}: key {keyword.arg}: add it to runtime.log.KEYS, or it is left out of the line"
            for name in IN_PACKAGES
            for node in log_calls(name)
            for keyword in node.keywords
            if keyword.arg and keyword.arg not in KEYS | {"exc_info"}
        ]
    )


#: Written in pieces, so that this file does not contain what it searches for.
MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(?:" + "|".join(("wo" + "rk", "ho" + "me", "ro" + "ot")) + r")/(?=\w)")
REGISTRIES = re.compile(
    r"(?i)\b(?:"
    + "|".join((r"py" + r"pi\.org", r"pythonho" + r"sted\.org", r"artif" + r"actory", r"nex" + r"us\."))
    + ")"
)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        pytest.param(MACHINE_PATHS, "a path of somebody's machine: make it relative", id="machine-paths"),
        pytest.param(REGISTRIES, "a registry's host: which one is used is up to pip's own settings", id="registries"),
    ],
)
def test_no_file_names_a_private_machine_or_registry(pattern, instead):
    problems = []
    for name in [*TEXT, *(name for name in tracked_files() if name.endswith(".lock"))]:
        try:
            text = (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        problems += [
            f"{name}:{number}: {found[0]}: {instead}"
            for number, line in enumerate(text.splitlines(), 1)
            if (found := pattern.search(line))
        ]
    report(problems)
