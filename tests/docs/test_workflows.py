"""The workflows: actions are pinned by commit, and a release builds what there is from its tag."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.generated import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
JOBS: dict[str, dict[str, Any]] = RELEASE["jobs"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned_by_commit_and_steps_write_only_where_a_job_may(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)(.*)", file.read_text("utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), action


def python_versions(text: str) -> list[str]:
    return re.findall(r"3\.[0-9]+", text)


def test_release_is_checked_with_each_python_of_the_classifiers_before_anything_is_built() -> None:
    assert {JOBS["build"]["needs"], *JOBS["pages"]["needs"]} == {"check", "build", "package", "image"}
    assert {JOBS[name]["needs"] for name in ("package", "image")} == {"build"}
    assert JOBS["check"]["steps"][-1] == {"run": "make release-check"}
    (installed,) = (one["with"]["python-version"] for one in JOBS["check"]["steps"] if "setup-python" in str(one))
    tested = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["check"]["strategy"]
    for name in ("pyproject.toml", "sandbox/pyproject.toml"):
        classifiers = tomllib.loads((ROOT / name).read_text("utf-8"))["project"]["classifiers"]
        claimed = python_versions("\n".join(classifiers))
        assert claimed == python_versions(installed) == tested["matrix"]["python"]


def test_release_builds_pages_that_name_it() -> None:
    commands = [one.get("run", "") for one in JOBS["build"]["steps"]]
    (named,) = (at for at, command in enumerate(commands) if "scripts/new_release.py" in command)
    (built,) = (at for at, command in enumerate(commands) if "build_sdist" in command)
    assert named < built


def test_release_starts_from_a_tag_that_is_the_version(tmp_path: Path) -> None:
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true
    (check,) = (one["run"] for one in JOBS["build"]["steps"] if one.get("id") == "version")
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)

    def checked(tag: str) -> int:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_REF_NAME": tag}
        environment["GITHUB_OUTPUT"] = str(tmp_path / "output")
        return subprocess.run(["bash", "-e", "-c", check], cwd=ROOT, env=environment).returncode

    assert checked("v0.0.1") != 0
    assert checked(f"v{version}") == 0
    assert (tmp_path / "output").read_text() == f"version={version}\n"


def test_release_publishes_without_a_token_and_with_provenance() -> None:
    assert JOBS["package"]["permissions"] == {"id-token": "write", "attestations": "write"}
    options = [one.get("with", {}) for name in ("package", "image") for one in JOBS[name]["steps"]]
    assert {"attestations": True} in options, "the index gets no password"
    assert any(one.get("provenance") == "mode=max" for one in options)


def test_whatever_a_release_publishes_needs_the_same_approval() -> None:
    publishing = {name for name, job in JOBS.items() if "write" in job.get("permissions", {}).values()}
    assert publishing == {"package", "image", "pages"}
    assert {JOBS[name].get("environment") for name in publishing} == {"pypi"}


def test_release_installs_from_a_lock_that_has_what_builds() -> None:
    (commands,) = (one["run"] for one in JOBS["build"]["steps"] if "dist" in one.get("run", ""))
    (lock,) = re.findall(r"-r (\S+)", commands)
    requirements = (ROOT / lock).read_text("utf-8")
    (build,) = re.findall(r'requires = \["(setuptools==\S+)"\]', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert f"\n{build} " in requirements


def test_release_builds_and_publishes_both_distributions_and_both_images() -> None:
    (commands,) = (one["run"] for one in JOBS["build"]["steps"] if "dist" in one.get("run", ""))
    assert "for folder in . sandbox" in commands
    assert {word for word in commands.split() if word.startswith(".venv/bin/")} >= {
        ".venv/bin/conferral",
        ".venv/bin/offhook",
    }
    images = {one["file"]: one["name"] for one in JOBS["image"]["strategy"]["matrix"]["include"]}
    assert images.keys() == {"Dockerfile", "sandbox/Dockerfile"}
    assert len({*images.values()}) == 2


@pytest.mark.parametrize("failing, code", [("none", 0), ("lint", 1), ("test", 1), ("test-more", 1)])
def test_ci_runs_everything_and_says_what_failed(tmp_path: Path, failing: str, code: int) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\n[ "$1" != {failing} ]\n', "utf-8")
    make.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ran = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert ran.stdout.split("\n") == [
        "",
        *(f"make {name}: {'failed' if name == failing else 'passed'}" for name in ("lint", "test", "test-more")),
        "",
    ]
