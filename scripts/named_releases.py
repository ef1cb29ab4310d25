"""Find what names another release than pyproject.toml: in commands, tags, and images of pages and deployment files."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import installing_pages  # noqa: E402

_PATTERNS = ("*.md", "*.yml", "*.yaml", "*Dockerfile", "pyproject.toml")
#: Changelogs tell history, and workflows name releases of actions.
_OTHERS = ("CHANGELOG.md", "sandbox/CHANGELOG.md", ".github/workflows/")
#: How commands name a release: a requirement, a wheel, an image, or a tag.
_NAMES = re.compile(
    r"(?:conferral|offhook)(?:\[\w+\])?(?:==|:|-)v?([0-9]+\.[0-9]+\.[0-9]+)"
    r"|\bv([0-9]+\.[0-9]+\.[0-9]+)(?=`|\s|$)"
)


def main() -> int:
    """Print each; return 1 if there is one."""
    different = differing()
    sys.stdout.writelines(f"{line}\n" for line in different)
    return 1 if different else 0


def differing() -> list[str]:
    """Return each place that names another release, and what it names."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return [
        f"{place}: {named}, but pyproject.toml has {version}"
        for place, named in named_releases()
        if not f"{version}.".startswith(f"{named}.")
    ]


def named_releases() -> Iterator[tuple[str, str]]:
    """Yield each place, as FILE:LINE, with the release that it names."""
    listed = subprocess.run(
        ["git", "ls-files", *_PATTERNS], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    for name in listed:
        if not name.startswith(_OTHERS):
            # The generated blocks name the newest release, which a version in the making is not.
            text = installing_pages.BLOCK.sub(_without_text, (ROOT / name).read_text("utf-8"))
            for at in _NAMES.finditer(text):
                yield f"{name}:{text.count(chr(10), 0, at.start()) + 1}", at[at.lastindex or 0]


def _without_text(block: re.Match[str]) -> str:
    return "\n" * block[0].count("\n")


if __name__ == "__main__":
    sys.exit(main())
