"""Links inside the repository lead somewhere."""

import re
from urllib.parse import unquote

from tests.docs.generated import ROOT
from tests.docs.markdown_files import each_page

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|(?:src|srcset|href)=\"([^\"]+)\"")

#: How pages that others publish, too, name what is here.
OWN = re.compile(
    r"^https://(?:github\.com/conferral/conferral/(?:blob|tree)/main|raw\.githubusercontent\.com/conferral/conferral/main)/"
)


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors_of(path):
    """The anchors of a page's headings, as forges make them."""
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(plain)
    return found


@each_page
def test_every_link_into_the_repository_leads_to_a_file_and_a_heading(markdown):
    broken = []
    for in_markdown, in_html in LINK.findall(without_code(markdown.read_text("utf-8"))):
        link = in_markdown or in_html
        own = OWN.sub("", link)
        if re.match(r"[a-z]+:", own):
            continue
        name, _, anchor = unquote(own).partition("#")
        base = markdown.parent if own == link else ROOT
        target = (base / name).resolve() if name else markdown
        leads_somewhere = target.exists() and target.is_relative_to(ROOT)
        if leads_somewhere and anchor and target.suffix == ".md":
            leads_somewhere = anchor in anchors_of(target)
        if not leads_somewhere:
            broken.append(link)

    assert broken == []


@each_page
def test_a_link_that_names_a_test_leads_to_the_file_that_has_it(markdown):
    """Of the failure table: a promise without its test is none."""
    for name, file in re.findall(r"\[(test_\w+)\]\(([^)]+)\)", markdown.read_text("utf-8")):
        assert f"def {name}(" in (markdown.parent / file).read_text("utf-8"), name


def test_the_list_of_pages_leads_to_every_page_of_the_docs():
    """The flows have a list of their own."""
    docs = ROOT / "docs"
    linked = {
        (docs / link.partition("#")[0]).resolve() for link, _ in LINK.findall((docs / "README.md").read_text("utf-8"))
    }
    pages = [*docs.glob("*.md"), *(docs / "reference").glob("*.md"), docs / "flows" / "README.md"]

    assert {*pages} - linked == {docs / "README.md"}
