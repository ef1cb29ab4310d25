"""Pages name the version that pyproject.toml has, and say how to install the newest release, or a checkout."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.generated import ROOT, load_script

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
NEXT = "77.8.9"
CHANGELOGS = load_script("new_release").CHANGELOGS
INSTALLING = load_script("installing_pages")


def test_whatever_names_a_release_names_this_one() -> None:
    releases = load_script("named_releases")
    assert releases.differing() == []
    names = {place.partition(":")[0] for place, _ in releases.named_releases()}
    assert {"docker-compose.yml", "deploy/kubernetes/conferral.yaml", "sandbox/Dockerfile"} <= names


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the pages, before the first release."""
    patterns = ["*.md", "*.yml", "*.yaml", "*Dockerfile", "*.toml", "scripts/*.py"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in CHANGELOGS:
        text = (ROOT / name).read_text("utf-8")
        (tmp_path / name).write_text(re.sub(r"^## \d.*\n\n?", "", text, flags=re.MULTILINE), "utf-8")
    for name in INSTALLING.PAGES:
        (tmp_path / name).write_text(INSTALLING.filled_for(None, (ROOT / name).read_text("utf-8")), "utf-8")
    for command in ("init", "--quiet"), ("add", "--all"):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def run_script(folder: Path, name: str, *arguments: str) -> list[str]:
    """What a script of the copy prints."""
    command = [sys.executable, f"scripts/{name}.py", *arguments]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert (ran.stderr, ran.returncode) == ("", int(ran.stdout != ""))
    return ran.stdout.splitlines()


def blocks(folder: Path) -> list[str]:
    """How to install: what the pages of the copy say, which `make docs` would not change."""
    release = INSTALLING.newest_release((folder / "CHANGELOG.md").read_text("utf-8"))
    texts = [(folder / name).read_text("utf-8") for name in INSTALLING.PAGES]
    assert texts == [INSTALLING.filled_for(release, text) for text in texts]
    return [at[3] for text in texts for at in INSTALLING.BLOCK.finditer(text)]


def test_pages_say_checkout_then_each_release_and_nothing_of_a_version_in_the_making(copied: Path) -> None:
    assert run_script(copied, "named_releases") == []
    assert all("checkout" in block or "released yet" in block for block in blocks(copied))

    run_script(copied, "new_release", VERSION, "2030-01-02")
    first = blocks(copied)
    assert all(VERSION in block and "checkout" not in block and "yet" not in block for block in first)
    assert run_script(copied, "named_releases") == []

    project = copied / "pyproject.toml"
    project.write_text(project.read_text("utf-8").replace(f'\nversion = "{VERSION}"', f'\nversion = "{NEXT}"'), "utf-8")
    differing = run_script(copied, "named_releases")
    assert {"docker-compose.yml"} < {line.partition(":")[0] for line in differing}
    for line in differing:
        name, number, named = line.partition(",")[0].split(":")
        lines = (copied / name).read_text("utf-8").split("\n")
        lines[int(number) - 1] = lines[int(number) - 1].replace(named.strip(), NEXT)
        (copied / name).write_text("\n".join(lines), "utf-8")
    assert run_script(copied, "named_releases") == []
    assert blocks(copied) == first

    run_script(copied, "new_release", NEXT, "2030-02-03")
    assert blocks(copied) == [block.replace(VERSION, NEXT) for block in first]
    assert run_script(copied, "named_releases") == []
    for name in CHANGELOGS:
        text = (copied / name).read_text("utf-8")
        assert re.findall("^## (.+)", text, re.MULTILINE)[:3] == [
            "Unreleased", f"{NEXT} (2030-02-03)", f"{VERSION} (2030-01-02)",
        ]  # fmt: skip
        assert "Nothing has been released yet" not in text
