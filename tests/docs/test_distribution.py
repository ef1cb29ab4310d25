"""What pip installs: one import name, every file of the product, and nothing of anyone else's."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_docker import copied_from_the_tree
from tests.docs.wheel import build_wheel

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
from offhook import Sandbox
import conferral.worker.process, conferral.webhooks.app, conferral.console.app
assert {runtime.OWNER, worker.OWNER, streams.OWNER, console.OWNER} == {"the neighbor"}
print(Client.__name__, Sandbox.__name__, StateMachine.__module__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The distribution, built from what is copied into the image: that has to suffice."""
    folder = tmp_path_factory.mktemp("distribution")
    source = folder / "source"
    source.mkdir()
    list_files = ["git", "ls-files", "-z", *copied_from_the_tree()]
    listed = subprocess.run(list_files, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(
        ["tar", "-c", "--null", "-T", "-", "-f", str(folder / "files.tar")], cwd=ROOT, input=listed, check=True
    )
    subprocess.run(["tar", "-x", "-f", str(folder / "files.tar"), "-C", str(source)], check=True)
    with zipfile.ZipFile(build_wheel(source, folder)) as built:
        yield built


def test_the_wheel_has_each_file_of_the_product_once(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    files = [name for name in tracked if not (ROOT / name).is_dir()]  # links to packages
    expected = {name if name.startswith("conferral/") else f"conferral/{name}" for name in files}
    found = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(found) == sorted(expected)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert wheel.read("conferral/tools.json") == (ROOT / "docs/reference/tools.json").read_bytes()


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
    assert (ran.returncode, ran.stdout) == (0, "Client Sandbox statemachine\n"), ran.stderr


def test_the_command_runs_where_the_wheel_is_installed(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    own = tmp_path / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(own / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel.filename)], check=True)
    # Its libraries are those of this environment: tests reach no index.
    (libraries,) = (path for path in sys.path if path.endswith("site-packages"))
    (site,) = (own / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    ran = subprocess.run([own / "bin" / "conferral", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.startswith("conferral "), ran.stderr) == (0, True, "")
