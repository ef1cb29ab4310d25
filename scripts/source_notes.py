"""Read what only the source says: `#:` comments, log calls, metrics' labels, and the headers of scripts."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from page_parts import ROOT

from conferral.runtime.metrics import Metrics

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


def _comment_above(lines: list[str], line_number: int) -> str:
    taken: list[str] = []
    for line in reversed(lines[: line_number - 1]):
        match = re.match(r"\s*#: ?(.*)", line)
        if match is None:
            break
        taken.insert(0, match[1])
    return " ".join(taken)


def _calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield a module's calls whose first argument is text: the called name's owner and last part, and the call."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            owner = getattr(node.func, "value", None)
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield getattr(owner, "id", ""), name, node


@cache  # reads all modules
def log_levels() -> dict[str, set[str]]:
    """Return each logged event's levels."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for owner, level, call in _calls(path):
                if owner in ("log", "logger", "_log") and level in LOG_LEVELS:
                    found[ast.literal_eval(call.args[0])].add(level)
    return found


class Metric(NamedTuple):
    """One of our metrics, with its name as Prometheus shows it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


def metrics() -> list[Metric]:
    """Return all our metrics, in the order of the source."""
    known = Metrics()
    families = {one.name: one for one in known.registry.collect()}
    found = []
    for name, labels in known.labels.items():
        family = families[name.removesuffix("_total")]
        found.append(Metric(name, family.type, family.documentation, tuple(labels)))
    return found


def header_of(lua: str) -> str:
    """Return a Lua script's header comment, without marks and indentation."""
    match = re.match(r"--\[\[\n(.*?)\]\]", lua, re.DOTALL)
    if match is None:
        raise ValueError("a script begins with a comment in double brackets")
    return "\n".join(line.removeprefix("  ") for line in match[1].rstrip().splitlines())
