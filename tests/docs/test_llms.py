"""The list of pages for language models. Source: llmstxt.org, "Format"."""

import re

from tests.docs.generated import ROOT
from tests.docs.test_links import LINK, anchors_of

DOCS = ROOT / "docs"
TEXT = (DOCS / "llms.txt").read_text("utf-8")


def test_it_has_the_parts_of_the_format_in_order():
    head, *sections = re.split(r"^## .+\n", TEXT, flags=re.MULTILINE)
    assert re.match(r"# Conferral\n\n> \S.+\n\n", head)
    assert "#" not in head[1:]
    assert len(sections) >= 5
    for section in sections:
        assert all(re.fullmatch(r"- \[[^\]]+\]\([^)]+\): \S.*", line) for line in section.split("\n") if line)


def test_no_two_links_have_the_same_description():
    described = re.findall(r"^- \[[^\]]+\]\([^)]+\): (.+)$", TEXT, flags=re.MULTILINE)
    assert len(described) == len({*described})


def test_every_link_leads_to_a_file_and_a_heading():
    links = [link.partition("#") for link, _ in LINK.findall(TEXT)]
    missing = [name for name, _, _ in links if not (DOCS / name).is_file()]
    assert missing == []
    assert [name for name, _, anchor in links if anchor and anchor not in anchors_of(DOCS / name)] == []
    # docs/README.md leads to every page, which is tested there, and this file to what that one does.
    others = {link for link, _ in LINK.findall((DOCS / "README.md").read_text("utf-8"))}
    assert others - {"llms.txt"} <= {"".join(link) for link in links}
