"""What pip installs: of each distribution one import name, each of its files, and nothing of anyone else's."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.dockerfiles import copied_from_the_tree
from tests.docs.wheel import BUILD, build_wheel

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("conferral", "statemachine", "webhooks", "worker")
#: A project whose modules have the same names as ours, and the same names that python-statemachine has.
NEIGHBOR = {
    "runtime/__init__.py": "OWNER = 'the neighbor'",
    "worker/__init__.py": "OWNER = 'the neighbor'",
    "statemachine/__init__.py": "class StateMachine: ...",
    "streams.py": "OWNER = 'the neighbor'",
    "console.py": "OWNER = 'the neighbor'",
}
USE = """
import runtime, worker, streams, console
from statemachine import StateMachine
from conferral import Client
import conferral.worker.process, conferral.webhooks.app, conferral.console.app
assert {runtime.OWNER, worker.OWNER, streams.OWNER, console.OWNER} == {"the neighbor"}
print(Client.__name__, StateMachine.__module__)
"""


@contextmanager
def built(dockerfile: str, project: str, folder: Path) -> Iterator[zipfile.ZipFile]:
    """A distribution, built from what is copied into its image: that has to suffice."""
    source = folder / "source"
    source.mkdir()
    list_files = ["git", "ls-files", "-z", *copied_from_the_tree(dockerfile)]
    listed = subprocess.run(list_files, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(
        ["tar", "-c", "--null", "-T", "-", "-f", str(folder / "files.tar")], cwd=ROOT, input=listed, check=True
    )
    subprocess.run(["tar", "-x", "-f", str(folder / "files.tar"), "-C", str(source)], check=True)
    with zipfile.ZipFile(build_wheel(source / project, folder)) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with built("Dockerfile", ".", tmp_path_factory.mktemp("distribution")) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def sandbox_wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with built("sandbox/Dockerfile", "sandbox", tmp_path_factory.mktemp("sandbox")) as wheel:
        yield wheel


def tracked_files(*folders: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split() if not (ROOT / name).is_dir()]  # links to packages


def test_the_wheel_has_each_file_of_the_product_once(wheel: zipfile.ZipFile) -> None:
    files = tracked_files(*PACKAGES)
    expected = {name if name.startswith("conferral/") else f"conferral/{name}" for name in files}
    found = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(found) == sorted(expected)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert wheel.read("conferral/tools.json") == (ROOT / "docs/reference/tools.json").read_bytes()


def test_the_wheel_of_the_sandbox_has_each_of_its_files_and_those_that_pages_share(
    sandbox_wheel: zipfile.ZipFile,
) -> None:
    shared = "conferral/runtime/web/static/"
    files = {name.removeprefix("sandbox/") for name in tracked_files("sandbox/offhook")}
    files |= {name.replace(shared, "offhook/web/static/") for name in tracked_files(shared)}
    found = [name for name in sandbox_wheel.namelist() if ".dist-info/" not in name]
    assert sorted(found) == sorted(files)
    assert any(name.endswith("licenses/LICENSE") for name in sandbox_wheel.namelist())


def test_both_have_one_version_and_the_extra_names_it() -> None:
    ours, sandboxes = (
        tomllib.loads((ROOT / name).read_text("utf-8")) for name in ("pyproject.toml", "sandbox/pyproject.toml")
    )
    version = sandboxes["project"]["version"]
    assert ours["project"]["version"] == version
    assert ours["project"]["optional-dependencies"]["sandbox"] == [f"offhook=={version}"]
    assert ours["build-system"] == sandboxes["build-system"]


def test_the_sandbox_is_tested_with_the_libraries_of_its_lock() -> None:
    ours, sandboxes = (
        dict(re.findall(r"^(\S+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements-dev.lock", "sandbox/requirements.lock")
    )
    assert "setuptools" in sandboxes, "what builds is in the lock, too"
    assert sandboxes.items() <= ours.items()


def test_the_wheel_leaves_other_projects_their_names(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    installed, neighbor = tmp_path / "installed", tmp_path / "neighbor"
    wheel.extractall(installed)
    for name, text in NEIGHBOR.items():
        path = neighbor / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(neighbor)!r}, {str(installed)!r}]\n{USE}"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "Client statemachine\n"), ran.stderr


@pytest.mark.parametrize("program, fixture", [("conferral", "wheel"), ("offhook", "sandbox_wheel")])
def test_the_command_runs_where_the_wheel_is_installed(
    program: str, fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    wheel = request.getfixturevalue(fixture)
    own = tmp_path / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(own / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel.filename)], check=True)
    # Its libraries are those of this environment: tests reach no index.
    (libraries,) = (path for path in sys.path if path.endswith("site-packages"))
    (site,) = (own / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    ran = subprocess.run([own / "bin" / program, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.startswith(f"{program} "), ran.stderr) == (0, True, "")


@pytest.mark.parametrize("project", [".", "sandbox"])
def test_a_copy_whose_links_became_files_is_refused(project, tmp_path):
    """As `python -m zipfile` makes it of an archive."""
    listed = subprocess.run(["git", "ls-files", "-s", project], cwd=ROOT, check=True, capture_output=True, text=True)
    links = [line.partition("\t")[2] for line in listed.stdout.splitlines() if line.startswith("120000 ")]
    links = [one for one in links if one.startswith("sandbox/") == (project == "sandbox")]
    assert len(links) >= 3
    source = tmp_path / "source" / project
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / project / name, source)
    for name in links:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(str((ROOT / name).readlink()))
    build = [sys.executable, "-c", BUILD, str(tmp_path)]
    ran = subprocess.run(build, cwd=source, check=False, capture_output=True, text=True)

    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    for name in links:
        assert name.removeprefix("sandbox/") in ran.stderr
    assert "unpack it with unzip, or clone it" in ran.stderr
