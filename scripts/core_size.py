"""Count the parts of the state machine, and lines, now and in the newest release."""

import ast
import io
import json
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The product's packages; scripts, benchmarks, and examples are not counted.
_PRODUCT = ("conferral", "statemachine", "webhooks", "worker")
_LANGUAGES = {".py": "Python", ".lua": "Lua", ".js": "JavaScript"}
#: The folder of other people's code.
_VENDORED = "vendor"
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
#: What has a docstring.
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
#: Runs in a checkout's folder, and imports its packages.
_COUNT = """
import inspect, json, sys
sys.path.insert(0, "")
from msgspec.structs import fields
from conferral.statemachine import guards
from conferral.statemachine.session import Party, Session
from conferral.statemachine.table import ROWS

functions = (one for _, one in inspect.getmembers(guards, inspect.isfunction))
own = [one for one in functions if one.__module__.startswith(guards.__name__)]
count = len(fields(Session)) + len(fields(Party))
print(json.dumps({"rows": len(ROWS), "guards": len(own), "fields of Session and Party": count}))
"""

#: Counts by what they are of.
Sizes = dict[str, dict[str, int]]


def main() -> int:
    """Print the sizes."""
    sys.stdout.write(f"{described()}\n")
    return 0


def described() -> str:
    """Return each size in words, with its growth since the newest release."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    before: Sizes = {}
    if tag:
        with suppress(subprocess.CalledProcessError):  # its code may be arranged in another way
            before = sizes_of(tag)
    return growth(sizes(ROOT), before, tag)


def growth(now: Sizes, before: Sizes, tag: str) -> str:
    """Say by how much each size has grown since a release, if there is one."""
    since = f" since {tag}" if before else ""
    return "\n".join(f"{of}: {_words(found, before.get(of, {}))}{since}" for of, found in now.items())


def _words(now: Mapping[str, int], before: Mapping[str, int]) -> str:
    return ", ".join(f"{size} {what}" + (f" ({size - before[what]:+})" if before else "") for what, size in now.items())


def sizes_of(commit: str) -> Sizes:
    """Return the sizes of a commit."""
    with tempfile.TemporaryDirectory(prefix="core-size-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        return sizes(Path(folder))


def sizes(folder: Path) -> Sizes:
    """Return the sizes of the checkout in a folder."""
    ran = subprocess.run([sys.executable, "-c", _COUNT], cwd=folder, check=True, capture_output=True, text=True)
    found = Counter[str]()
    for path in _source_files(folder):
        text, language = (folder / path).read_text("utf-8"), _LANGUAGES[path.suffix]
        count, is_test = len(text.splitlines()), "tests" in path.parts
        if path.parts[0] == "sandbox":
            found["tests of Offhook" if is_test else f"{language} of Offhook"] += count
        elif is_test:
            found["tests without Offhook's"] += count
        elif path.parts[0] in _PRODUCT:
            found[language] += count
            found["code of Python"] += _code_lines(text) if language == "Python" else 0
    return {"state machine": json.loads(ran.stdout), "lines": dict(sorted(found.items()))}


def _source_files(folder: Path) -> list[Path]:
    """Return what git tracks, or what is in an extracted commit."""
    if (folder / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, check=True, capture_output=True, text=True)
        found = [Path(name) for name in listed.stdout.split("\0")]
    else:
        found = [path.relative_to(folder) for path in folder.rglob("*")]
    is_file = [path for path in found if path.suffix in _LANGUAGES and (folder / path).is_file()]
    return [path for path in is_file if _VENDORED not in path.parts]


def _code_lines(text: str) -> int:
    """Return how many lines of Python aren't blank, comments, or docstrings."""
    documented = (node for node in ast.walk(ast.parse(text)) if isinstance(node, _DOCUMENTED))
    docstrings = (node.body[0] for node in documented if ast.get_docstring(node, clean=False) is not None)
    prose = {line for one in docstrings for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = (range(one.start[0], one.end[0] + 1) for one in tokens if one.type not in _NO_CODE)
    return len({line for lines in code for line in lines} - prose)


if __name__ == "__main__":
    sys.exit(main())
