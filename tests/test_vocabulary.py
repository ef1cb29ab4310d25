"""Private words that the project does not use for names. Each failure names the replacement."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.test_tidy import ROOT

PRODUCT = (
    "conferral", "console", "operations", "runtime", "sandbox", "statemachine", "storage", "telephony", "webhooks",
    "worker",
)  # fmt: skip
#: A part of a name (between underscores or capitals), and what to use in its place.
REPLACEMENTS = {
    "anew": "again",
    "aside": "dead-letter, quarantine, or out of band",
    "bury": "dead_letter",
    "chore": "post_commit_write",
    "chores": "post_commit_writes",
    "contest": "ring_group",
    "dialled": "dialed",
    "dialling": "dialing",
    "doubt": "unknown",
    "farewell": "closing message",
    "figures": "stats",
    "lanes": "priority_limiter",
    "look": "read (of Twilio), verify (before a retry), find, or poll",
    "looked": "read, or verified",
    "looking": "reading, or verification",
    "looks": "reads",
    "mend": "fix",
    "nobody": "no_one, or a word for what is empty",
    "rewind": "rollback",
    "rewound": "rolled_back",
    "room": "conference",
    "rooms": "conferences",
    "scratch": "draft",
    "somebody": "a word for who it is: party, caller, operator",
    "standing": "status, or summary",
    "tell": "report, log, or send",
    "telling": "report",
    "tells": "reports",
    "tune": "wait_audio",
    "tunes": "wait_audio",
    "whoever": "a word for who it is: party, holder, worker",
}


def files() -> list[Path]:
    return sorted(path for name in PRODUCT for path in (ROOT / name).rglob("*.py") if "__pycache__" not in path.parts)


def parts_of(name: str) -> list[str]:
    """Return the words of a name: `HeldPartition` and `held_partition` have the same."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the names that a module defines, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def problems_in(path: Path) -> list[str]:
    """Return a line for each private word in a file's name, and in the names that it defines."""
    place = path.relative_to(ROOT).as_posix()
    found = [(1, path.stem), *names_in(ast.parse(path.read_text("utf-8")))]
    return [
        f"{place}:{line}: {name}: not {part}, but {REPLACEMENTS[part]}"
        for line, name in found
        for part in parts_of(name)
        if part in REPLACEMENTS
    ]


def test_names_are_standard_terms() -> None:
    problems = [problem for path in files() for problem in problems_in(path)]
    assert not problems, "\n" + "\n".join(problems)


def test_private_words_are_found(tmp_path: Path) -> None:
    tree = ast.parse("class LookAround:\n    def tell(self, whoever): self.tune = whoever\nchore = 1\n")
    assert {name for _, name in names_in(tree) if set(parts_of(name)) & REPLACEMENTS.keys()} == {
        "LookAround", "tell", "whoever", "tune", "chore",
    }  # fmt: skip
