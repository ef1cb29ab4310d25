"""Pages name the version that pyproject.toml has, and say how to install what there is."""

import re
import subprocess
import tomllib

from tests.docs.generated import ROOT, load_script

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
#: How commands name a release: a requirement, a tag, a wheel, or an image.
NAMES = re.compile(r"(?:conferral|offhook)(?:==|:|-)v?([0-9]+\.[0-9]+\.[0-9]+)|\bv([0-9]+\.[0-9]+\.[0-9]+)(?=`|\s|$)")


def test_whatever_names_a_release_names_this_one() -> None:
    patterns = ["*.md", "*.yml", "*.yaml", "Dockerfile", "sandbox/Dockerfile"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, set[str]] = {}
    for name in listed.stdout.split():
        if not name.startswith(".github/workflows/"):  # they name releases of actions
            for at in NAMES.finditer((ROOT / name).read_text("utf-8")):
                found.setdefault(at[1] or at[2], set()).add(name)
    assert found.keys() == {VERSION}, found
    assert {"docker-compose.yml", "deploy/kubernetes/conferral.yaml"} <= found[VERSION]


def test_first_release_turns_checkouts_into_packages() -> None:
    release, pages = load_script("new_release"), load_script("installing_pages")
    for name in release.CHANGELOGS:
        before = (ROOT / name).read_text("utf-8")
        after = release.released(before, "7.8.9", "2030-01-02")
        assert pages.newest_release(before) != "7.8.9"
        assert pages.newest_release(after) == "7.8.9"
        assert "## Unreleased\n\n## 7.8.9 (2030-01-02)\n" in after
        assert "Nothing has been released yet" not in after
        assert pages.newest_release(release.released(after, "7.9.0", "2030-02-03")) == "7.9.0"
    for page, package in zip(pages.PAGES, ("conferral", "offhook"), strict=True):
        text = (ROOT / page).read_text("utf-8")
        assert "git clone" in pages.filled_for(None, text)
        filled = pages.filled_for("7.8.9", text)
        assert f"pip install {package}==7.8.9\n" in filled
        assert "nothing has been released yet" not in filled
