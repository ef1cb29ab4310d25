"""Fill the blocks of pages that say how to install: from a checkout, until there is a release.

A block is what stands between `<!-- install: NAME -->` and `<!-- /install -->`. There is a release as soon as the
changelog has a heading with a version: `scripts/new_release.py` writes it, which the release workflow runs.
"""

import re

from page_parts import ROOT

PAGES = ("README.md", "docs/going-live.md", "docs/operating.md", "docs/sandbox.md", "sandbox/README.md")
BLOCK = re.compile(r"(<!-- install: (\w+) -->\n)(.*?)(<!-- /install -->)", re.DOTALL)
_RELEASE = re.compile(r"^## ([0-9]+\.[0-9]+\.[0-9]+) ", re.MULTILINE)
_CODE = """

<!-- not run: it needs the internet -->
```sh
{}
```"""
_CLONE = "git clone https://github.com/conferral/conferral.git\npip install ./conferral"
_RUN = "docker run --rm --publish 127.0.0.1:8081:8081"
_OPEN = "--host 0.0.0.0 --allow-host localhost"
#: Each block: its text as long as there is no release, and with one.
_TEXTS = {
    "status": (
        "**Status:** nothing has been released yet; 0.1 is in the making.",
        "**Status:** the newest release is {release}.",
    ),
    "client": (
        "From a checkout, because nothing has been released yet:" + _CODE.format(_CLONE),
        "The newest release:" + _CODE.format("pip install conferral=={release}"),
    ),
    "offhook": (
        "From a checkout, because nothing has been released yet, with Python 3.11 or newer, on Linux or macOS:"
        + _CODE.format(f"{_CLONE}/sandbox"),
        "With Python 3.11 or newer, on Linux or macOS:" + _CODE.format("pip install offhook=={release}"),
    ),
    "container": (
        "In a container, from a checkout:"
        + _CODE.format(f"cd conferral\ndocker build --file sandbox/Dockerfile --tag offhook .\n{_RUN} offhook {_OPEN}"),
        "In a container:" + _CODE.format(f"{_RUN} ghcr.io/conferral/offhook:{{release}} {_OPEN}"),
    ),
    "sandbox": (
        "To add it to another environment, run `pip install ./sandbox` in a checkout: nothing has been released yet.",
        "To add it to another environment, run `pip install 'conferral[sandbox]=={release}'`.",
    ),
    "image": (
        "No image has been released yet: build one in a checkout (`docker build .`), and push it to your registry.",
        "The newest release's image is `ghcr.io/conferral/conferral:{release}`.",
    ),
    "pin": (
        "Nothing has been released yet: pin a commit.",
        "Pin a version: a tag (`v{release}`), `conferral=={release}` with `requirements.lock`, or the image's digest;\n\
`gh attestation verify` checks the signature of a wheel or an image.",
    ),
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

    def block(at: re.Match[str]) -> str:
        text = _TEXTS[at[2]][release is not None].replace("{release}", release or "")
        return f"{at[1]}{text}\n{at[4]}"

    return BLOCK.sub(block, text)
