"""Note a release in both changelogs and in the pages that say how to install: `new_release.py VERSION DATE`.

The release workflow runs it after it has published, and proposes what changed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import installing_pages  # noqa: E402

CHANGELOGS = ("CHANGELOG.md", "sandbox/CHANGELOG.md")
_UNRELEASED = "## Unreleased\n"
#: The sentence that the first release makes untrue.
_FIRST = re.compile(
    r"(?<=## Unreleased\n\n)Nothing has been released yet\. \[The README\]\((\S+)\) shows what the first release does\."
)


def main() -> int:
    """Write the files; return 1 if a changelog has nothing to release."""
    version, date = sys.argv[1:]
    for name in CHANGELOGS:
        text = (ROOT / name).read_text("utf-8")
        if _UNRELEASED not in text:
            sys.stderr.write(f"{name}: it has no section 'Unreleased'\n")
            return 1
        (ROOT / name).write_text(released(text, version, date), "utf-8")
    for name in installing_pages.PAGES:
        (ROOT / name).write_text(installing_pages.filled(name), "utf-8")
    return 0


def released(changelog: str, version: str, date: str) -> str:
    """Return a changelog in which what was unreleased is a release."""
    first = _FIRST.sub(r"The first release. [The README](\1) shows what it does.", changelog)
    return first.replace(_UNRELEASED, f"{_UNRELEASED}\n## {version} ({date})\n", 1)


if __name__ == "__main__":
    sys.exit(main())
