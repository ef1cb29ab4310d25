"""What the tests of the documentation share: the Markdown files and the command line."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.docs.generated import ROOT, load_script


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


def pytest_generate_tests(metafunc):
    if "markdown" in metafunc.fixturenames:
        files = markdown_files()
        metafunc.parametrize("markdown", files, ids=[path.relative_to(ROOT).as_posix() for path in files])


@pytest.fixture(scope="session")
def commands():
    """The command line's commands, by name."""
    return load_script("reference_pages").command_tree().commands
