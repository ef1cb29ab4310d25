"""The Markdown files of the repository."""

import subprocess
from functools import cache
from pathlib import Path

from tests.docs.generated import ROOT
from tests.support.each import each


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


#: Runs a test's function with each of them.
each_page = each("markdown", markdown_files())
