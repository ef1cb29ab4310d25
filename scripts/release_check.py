"""Try what a release would publish: `make release-check`.

Checks that whatever names a release names this one, and says how much the state machine has grown. Builds both
distributions from the committed files that their images copy, installs them into an empty environment of each Python
that is present and new enough, and uses them there, outside the repository: the commands, the demo, and a test with a
hand-off and a transfer by both pytest fixtures. It needs the package index and a redis-server.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import core_size  # noqa: E402
import named_releases  # noqa: E402

from tests.docs.dockerfiles import copied_from_the_tree  # noqa: E402

#: Each distribution: its folder, and the file that says what its image copies.
DISTRIBUTIONS = {"conferral": (".", "Dockerfile"), "offhook": ("sandbox", "sandbox/Dockerfile")}
_BUILD = "import sys; from setuptools import build_meta as it; it.build_wheel(sys.argv[1]); it.build_sdist(sys.argv[1])"
#: What the test needs besides the libraries of the product.
_PYTEST = ("pytest", "iniconfig", "packaging", "pluggy", "pygments")
_TEST = """
import asyncio

from conferral import Client


def test_transfer(conferral_stack, twilio_client):
    sandbox = conferral_stack.sandbox
    alice = sandbox.phones[conferral_stack.agent].script(answer_after_s=0.1)
    bob = sandbox.phones["+14155550142"].script(answer_after_s=0.1)
    caller = sandbox.phones["+12025550123"].call(conferral_stack.number, url=conferral_stack.url + "/voice/handoff")
    sandbox.wait_until(lambda: caller.hears(alice))

    async def transfer():
        async with Client(conferral_stack.redis_url, conferral_stack.prefix) as client:
            await client.transfer(caller.sid, to=bob.address, mode="blind")

    asyncio.run(transfer())
    sandbox.wait_until(lambda: caller.hears(bob))
    assert caller.sid in {call.sid for call in twilio_client.calls.list()}
"""


def main() -> int:
    """Return 1 if something fails; its output is on the terminal."""
    if different := named_releases.differing():
        _say("\n".join(different))
        return 1
    _say(core_size.described())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = [int(minor) for minor in re.findall(r"Python :: 3\.([0-9]+)", "\n".join(project["classifiers"]))]
    (oldest,) = re.findall(r"^>=3\.([0-9]+)$", project["requires-python"])
    places = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    places += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    passed: dict[int, bool] = {}
    with tempfile.TemporaryDirectory(prefix="release-check-") as place:
        folder = Path(place)
        wheels = [_build(name, folder) for name in DISTRIBUTIONS]
        for minor, python in find_pythons(places, int(oldest)).items():
            try:
                _try(python, wheels, folder)
                passed[minor] = True
            except subprocess.CalledProcessError as error:
                _say(f"{error.stdout}{error}")
                passed[minor] = False
    _say("\n".join(verdicts(claimed, passed)))
    return 0 if any(passed.values()) and all(passed.get(minor, True) for minor in claimed) else 1


def find_pythons(places: Iterable[Path], oldest: int) -> dict[int, Path]:
    """Return a program of each Python 3 from this minor version upward."""
    found: dict[int, Path] = {}
    for program in (program for place in places for program in sorted(place.glob("python3.*"))):
        minor = re.fullmatch(r"python3\.([0-9]+)", program.name)
        if minor and int(minor[1]) >= oldest and int(minor[1]) not in found and _runs(program):
            found[int(minor[1])] = program
    return dict(sorted(found.items()))


def _runs(program: Path) -> bool:
    # A version manager may have a command, or a link, for a Python that can't run, and Debian has one without `venv`.
    command = [program, "-c", "import ensurepip"]
    return bool(shutil.which(program)) and not subprocess.run(command, capture_output=True, check=False).returncode


def verdicts(claimed: Iterable[int], passed: Mapping[int, bool]) -> list[str]:
    """Say of each Python whether it works, and what that means for the classifiers."""
    words = {
        (True, True): "passed",
        (True, False): "failed",
        (True, None): "not present, not checked",
        (False, True): "passed: add to classifiers",
        (False, False): "failed; not in classifiers",
    }
    claims = set(claimed)
    return [f"Python 3.{one}: {words[one in claims, passed.get(one)]}" for one in sorted({*claims, *passed})]


def _build(name: str, folder: Path) -> Path:
    """Build a distribution from what its image copies; return the wheel."""
    project, dockerfile = DISTRIBUTIONS[name]
    files = _image_files(dockerfile)
    _say(f"{name}: its image copies {len(files)} files")
    source, target = folder / f"{name}-source", folder / f"{name}-dist"
    source.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD", *files], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    _run([sys.executable, "-c", _BUILD, str(target)], source / project)
    (wheel,) = target.glob("*.whl")
    return wheel


def _image_files(dockerfile: str) -> list[str]:
    """Return the committed files that a Dockerfile copies."""
    listed = ["git", "ls-tree", "-r", "--name-only", "HEAD", "--", *copied_from_the_tree(dockerfile)]
    return subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def _try(python: Path, wheels: list[Path], folder: Path) -> None:
    """Install both wheels into an empty environment, and use them."""
    _say(f"{python.name}: installing")
    own = folder / python.name
    own.mkdir()
    _run([str(python), "-m", "venv", "environment"], own)
    bin_folder = own / "environment" / "bin"
    pip = [
        str(bin_folder / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--no-deps",
        "--no-compile",
    ]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements.lock")], own)
    (own / "pytest.lock").write_text(_locked(_PYTEST), "utf-8")
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", "pytest.lock"], own)
    _run([*pip, "--no-index", *map(str, wheels)], own)
    for name in DISTRIBUTIONS:
        _run([str(bin_folder / name), "--version"], own)
    _say(f"{python.name}: playing the demo")
    _run([str(bin_folder / "conferral"), "demo", "--exit", "--pace", "4"], own)
    (own / "test_transfer.py").write_text(_TEST, "utf-8")
    _say(f"{python.name}: testing a transfer")
    _run([str(bin_folder / "python"), "-m", "pytest", "-q", "test_transfer.py"], own)


def _locked(names: tuple[str, ...]) -> str:
    """Return the lines of the lock for some libraries."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements-dev.lock").read_text("utf-8"))
    return "\n".join(block for block in blocks if block.partition("==")[0] in names) + "\n"


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
