"""Read `#:` comments and calls of the logger from source files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("conferral", "statemachine", "webhooks", "worker")
LOG_LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})


def modules(*packages: str) -> Iterator[Path]:
    """Yield the packages' Python files in order."""
    for package in packages or PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def notes_of(path: Path, class_name: str) -> dict[str, str]:
    """Return the `#:` comments above a class's members, by the member's name."""
    lines = path.read_text("utf-8").splitlines()
    tree = ast.parse("\n".join(lines))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    notes = {}
    for node in found.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name):
            notes[target.id] = _comment_above(lines, node.lineno)
    return notes


def _comment_above(lines: list[str], line_number: int) -> str:
    taken: list[str] = []
    for line in reversed(lines[: line_number - 1]):
        match = re.match(r"\s*#: ?(.*)", line)
        if match is None:
            break
        taken.insert(0, match[1])
    return " ".join(taken)


class LogCall(NamedTuple):
    """One call of the logger."""

    path: Path
    line: int
    level: str
    #: The first argument; None if it isn't a literal.
    name: str | None


def log_calls(path: Path) -> list[LogCall]:
    """Return every call of a module's `log`."""
    calls = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOG_LEVELS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("log", "logger", "_log")
        ):
            first = node.args[0] if node.args else None
            name = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            calls.append(LogCall(path, node.lineno, node.func.attr, name))
    return calls


def header_of(lua: str) -> str:
    """Return a Lua script's header comment, without marks and indentation."""
    match = re.match(r"--\[\[\n(.*?)\]\]", lua, re.DOTALL)
    if match is None:
        raise ValueError("a script begins with a comment in double brackets")
    return "\n".join(line.removeprefix("  ") for line in match[1].rstrip().splitlines())
