"""The site that `make site` builds: what becomes of links and blocks, and what it may fetch."""

import re
import sys

import yaml

from tests.docs.generated import ROOT, load_script

sys.path.append(str(ROOT / "scripts" / "site"))
SITE = load_script("build")
#: A picture from elsewhere.
FETCHED = re.compile(r"\bsrc(?:set)?=\"(?:https?:)?//|!\[[^\]]*\]\((?:https?:)?//")
FILES = {"README.md", "docs/a.md", "docs/pictures/b.png", "sandbox/README.md"}


def page(text: str, name: str = "docs/a.md") -> str:
    made: str = SITE.page(text, name, FILES, "v7.8.9")
    return made


def test_links_out_of_the_site_lead_to_the_repository_at_the_tag() -> None:
    blob, tree = (f"https://github.com/conferral/conferral/{kind}/v7.8.9" for kind in ("blob", "tree"))
    assert page("[x](../tests/conftest.py#L1)") == f"[x]({blob}/tests/conftest.py#L1)"
    assert page("[x](../tests/flows/)") == f"[x]({tree}/tests/flows)"
    assert page("[x](LICENSE)", "README.md") == f"[x]({blob}/LICENSE)"


def test_other_links_and_code_stay() -> None:
    kept = (
        "[x](../sandbox/README.md#y) [z](#here) [w](https://example.com/a)",
        '<img src="pictures/b.png">',
        "`[x](../tests/conftest.py)`",
        "```md\n[x](../tests/conftest.py)\n   three\n```",
    )
    assert [page(text) for text in kept] == [*kept]


def test_pictures_are_those_of_the_site() -> None:
    assert page(f'<img src="{SITE.PICTURES}docs/pictures/b.png">', "sandbox/README.md") == (
        '<img src="../docs/pictures/b.png">'
    )
    files = SITE.tracked_files()
    for name in files:
        if name.endswith(".md"):
            made = SITE.page((ROOT / name).read_text("utf-8"), name, {*files}, "v7.8.9")
            assert not FETCHED.search(without_code(made)), name


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_what_stands_in_a_list_is_indented_by_four() -> None:
    assert page("1. a\n\n   ```py\n   if b:\n       c\n   ```\n\n   d") == (
        "1. a\n\n    ```py\n    if b:\n        c\n    ```\n\n    d"
    )


def test_every_page_of_the_list_is_in_the_navigation_once() -> None:
    sections = SITE.navigation((ROOT / "docs" / "README.md").read_text("utf-8"))
    pages = [
        path
        for one in sections
        for value in one.values()
        if isinstance(value, list)
        for at in value
        for path in at.values()
    ]

    assert {"docs/owners.md", "docs/commands.md", "ARCHITECTURE.md", "sandbox/docs/fidelity.md"} <= {*pages}
    assert sorted(pages) == sorted({*pages})
    assert all((ROOT / path).is_file() for path in pages)


def test_browsers_may_fetch_nothing_from_elsewhere() -> None:
    theme = (ROOT / "scripts/site/theme/main.html").read_text("utf-8")
    policy = theme.partition('content="')[2].partition('"')[0]

    assert policy.startswith("default-src 'self'; ")
    assert "//" not in policy
    assert "font: false" in (ROOT / "scripts/site/mkdocs.yml").read_text("utf-8")


def test_continuous_integration_builds_the_site() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    assert {"run": "make site"} in jobs["site"]["steps"]
