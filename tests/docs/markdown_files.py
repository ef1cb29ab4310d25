"""The Markdown files of the repository."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tests.docs.generated import ROOT
from tests.support.each import each

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@cache
def markdown_files() -> list[Path]:
    """Every Markdown file that is tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
        return sorted(found)
    return sorted(ROOT / name for name in listed.stdout.decode().split("\0") if name)


def blocks(page: Path, *languages: str) -> list[str]:
    """Texts of the page's blocks in these languages."""
    return [it["text"] for it in BLOCK.finditer(page.read_text("utf-8")) if it["language"] in languages]


def run_blocks(page: Path, *languages: str) -> list[str]:
    """Those that don't say why they aren't run."""
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [it["text"] for it in found if it["language"] in languages and it["why"] is None]


def typed(blocks: Callable[..., list[str]], page: Path) -> Iterator[list[str]]:
    """Every command to be typed in these blocks, each of a pipe by itself, without assignments before it."""
    lines = [line for text in blocks(page, "sh") for line in text.replace("\\\n", " ").splitlines()]
    lines += [line[2:] for text in blocks(page, "console") for line in text.splitlines() if line.startswith("$ ")]
    for line in lines:
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "|"]:
            if word not in ("|", "&&", ";"):
                command.append(word)
                continue
            while command and ASSIGNMENT.fullmatch(command[0]):
                command.pop(0)
            if command:
                yield command
            command = []


#: Runs a test's function with each of them.
each_page = each("markdown", markdown_files())
