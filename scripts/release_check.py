"""Try what a release would publish: `make release-check`.

Builds both distributions from the committed files that their images copy, installs them into an empty environment of
each supported Python that is present, and uses them there, outside the repository: the commands, the demo, and a test
with a hand-off and a transfer by both pytest fixtures. It needs the package index and a redis-server.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

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
    with tempfile.TemporaryDirectory(prefix="release-check-") as place:
        folder = Path(place)
        wheels = [_build(name, folder) for name in DISTRIBUTIONS]
        pythons = list(_pythons())
        if not pythons:
            sys.stderr.write("none of the Pythons in pyproject.toml's classifiers is on PATH\n")
            return 1
        for python in pythons:
            _try(python, wheels, folder)
    _say(f"both distributions work with {', '.join(pythons)}")
    return 0


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


def _pythons() -> Iterator[str]:
    """Yield the supported Pythons that run on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for version in re.findall(r"Python :: (3\.[0-9]+)", "\n".join(project["classifiers"])):
        program = shutil.which(f"python{version}")
        # A version manager may have a command for a Python that it can't run.
        if program and not subprocess.run([program, "--version"], capture_output=True, check=False).returncode:
            yield f"python{version}"


def _try(python: str, wheels: list[Path], folder: Path) -> None:
    """Install both wheels into an empty environment, and use them."""
    _say(f"{python}: installing")
    own = folder / python
    own.mkdir()
    _run([python, "-m", "venv", "environment"], own)
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
    _say(f"{python}: playing the demo")
    _run([str(bin_folder / "conferral"), "demo", "--exit", "--pace", "4"], own)
    (own / "test_transfer.py").write_text(_TEST, "utf-8")
    _say(f"{python}: testing a transfer")
    _run([str(bin_folder / "python"), "-m", "pytest", "-q", "test_transfer.py"], own)


def _locked(names: tuple[str, ...]) -> str:
    """Return the lines of the lock for some libraries."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements-dev.lock").read_text("utf-8"))
    return "\n".join(block for block in blocks if block.partition("==")[0] in names) + "\n"


def _run(command: list[str], folder: Path) -> None:
    ran = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode:
        sys.stderr.write(ran.stdout)
        raise SystemExit(f"failed: {' '.join(command)}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
