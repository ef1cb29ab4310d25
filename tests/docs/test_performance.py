"""The pages show measured figures only: those of the results file, in blocks that are made from it."""

import re

import pytest

from tests.docs.generated import ROOT, load_script

performance_page = load_script("performance_page")

PAGES = ("README.md", "docs/performance.md", "docs/reliability.md")


@pytest.mark.parametrize("name", PAGES)
def test_blocks_of_figures_are_known(name):
    blocks = re.findall(r"<!-- figures: (\w+) -->", (ROOT / name).read_text("utf-8"))

    assert blocks
    assert set(blocks) <= performance_page.BLOCKS.keys()
    assert len(performance_page.BLOCK.findall((ROOT / name).read_text("utf-8"))) == len(blocks), "each block is closed"


def test_performance_page_has_no_figure_outside_its_blocks():
    page = performance_page.BLOCK.sub("", (ROOT / "docs" / "performance.md").read_text("utf-8"))

    assert not re.findall(r"\d[\d.,]* (?:ms|µs|MB|KB|GB|times|events)", page)
