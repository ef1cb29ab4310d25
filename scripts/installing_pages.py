"""Fill the blocks of pages that say how to install: from a checkout, until there is a release.

A block is what stands between `<!-- install: NAME -->` and `<!-- /install -->`. There is a release as soon as the
changelog has a heading with a version: `scripts/new_release.py` writes it, which the release workflow runs.
"""

import re

from page_parts import ROOT

PAGES = ("docs/installing.md", "sandbox/README.md")
BLOCK = re.compile(r"(<!-- install: (\w+) -->\n)(.*?)(<!-- /install -->)", re.DOTALL)
_RELEASE = re.compile(r"^## ([0-9]+\.[0-9]+\.[0-9]+) ", re.MULTILINE)
_CODE = """<!-- not run: it needs the internet -->
```sh
{}
```
"""
_CHECKOUT = {
    "client": ("From a checkout, because nothing has been released yet:",
               "git clone https://github.com/conferral/conferral.git\npip install ./conferral"),
    "offhook": ("From a checkout, because nothing has been released yet, with Python 3.11 or newer, on Linux or macOS:",
                "git clone https://github.com/conferral/conferral.git\npip install ./conferral/sandbox"),
}  # fmt: skip
_RELEASED = {
    "client": ("The newest release:", "pip install conferral=={release}"),
    "offhook": ("With Python 3.11 or newer, on Linux or macOS:", "pip install offhook=={release}"),
}


def newest_release(changelog: str) -> str | None:
    """Return the version of a changelog's newest release; None if it has none."""
    found = _RELEASE.search(changelog)
    return found[1] if found else None


def filled(page: str) -> str:
    """Return a page whose blocks fit the changelog."""
    release = newest_release((ROOT / "CHANGELOG.md").read_text("utf-8"))
    return filled_for(release, (ROOT / page).read_text("utf-8"))


def filled_for(release: str | None, text: str) -> str:
    """Return a page's text with the blocks for a release, or for none."""

    def block(name: str) -> str:
        sentence, commands = (_RELEASED if release else _CHECKOUT)[name]
        return f"{sentence}\n\n{_CODE.format(commands.format(release=release))}"

    return BLOCK.sub(lambda at: f"{at[1]}{block(at[2])}{at[4]}", text)
