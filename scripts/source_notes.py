"""Read what only the source says: `#:` comments, log calls, and the headers of scripts."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from page_parts import ROOT

PACKAGES = ("conferral", "statemachine", "webhooks", "worker")
LOG_LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})


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


def inline_notes_of(path: Path, class_name: str) -> dict[str, str]:
    """Return the `#:` comments of public fields: after them, or above."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    found = next(it for it in ast.parse(text).body if isinstance(it, ast.ClassDef) and it.name == class_name)
    notes = {}
    for node in ast.walk(found):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
            after = re.search(r"#: ?(.*)", lines[(node.end_lineno or node.lineno) - 1])
            note = after[1] if after else _comment_above(lines, node.lineno)
            if note and not name.startswith("_"):
                notes[name] = note
    return notes


def _comment_above(lines: list[str], line_number: int) -> str:
    taken: list[str] = []
    for line in reversed(lines[: line_number - 1]):
        match = re.match(r"\s*#: ?(.*)", line)
        if match is None:
            break
        taken.insert(0, match[1])
    return " ".join(taken)


@cache  # reads all modules
def log_levels() -> dict[str, set[str]]:
    """Return each logged event's levels."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    owner, level, event = getattr(node.func.value, "id", ""), node.func.attr, node.args[0]
                    if owner in ("log", "logger", "_log") and level in LOG_LEVELS and isinstance(event, ast.Constant):
                        found[str(event.value)].add(level)
    return found


def header_of(lua: str) -> str:
    """Return a Lua script's header comment, without marks and indentation."""
    match = re.match(r"--\[\[\n(.*?)\]\]", lua, re.DOTALL)
    if match is None:
        raise ValueError("a script begins with a comment in double brackets")
    return "\n".join(line.removeprefix("  ") for line in match[1].rstrip().splitlines())
