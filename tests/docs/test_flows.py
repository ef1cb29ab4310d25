"""The diagrams of `docs/flows/` are what a run of each flow draws now."""

import difflib
import re

import pytest

from tests.docs.generated import ROOT, load_script
from tests.support import documented_flows
from tests.support.each import each

FOLDER = ROOT / "docs" / "flows"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
DRAWN = [(name, page, diagram) for page, text in PAGES.items()
         for name, diagram in load_script("flow_pages").drawn_in(text).items()]  # fmt: skip


#: Drawn in every run; the others in the long one.
USUAL = ("consult", "recall", "park-bridged", "bridge-confirm")
EACH = [pytest.param(*one, id=one[0], marks=[] if one[0] in USUAL else [pytest.mark.soak]) for one in DRAWN]


@pytest.mark.redis
@pytest.mark.parametrize("name, page, diagram", EACH)
async def test_diagram_is_what_a_run_of_its_flow_draws_now(redis_server, name, page, diagram):
    drawn = await documented_flows.draw(redis_server.url, name)

    difference = difflib.unified_diff(
        diagram.splitlines(), drawn.splitlines(), f"docs/flows/{page}", "run", lineterm=""
    )
    assert drawn == diagram, "\n".join(["run scripts/flow_pages.py and read what it changed", *difference])


def test_every_flow_is_drawn_on_one_page():
    assert sorted(name for name, _, _ in DRAWN) == sorted(documented_flows.FLOWS)


@each("diagram", [diagram for _, _, diagram in DRAWN])
def test_diagram_names_roles_only_and_nothing_that_mermaid_stumbles_over(diagram):
    assert diagram.startswith("sequenceDiagram\n")
    assert not re.search(r"[A-Z]{2}[0-9a-f]{32}|\+\d|client:|\d{2}:\d{2}", diagram)
    assert not re.search(r"[;#]", diagram)
    for line in diagram.splitlines()[1:]:
        assert re.fullmatch(
            r"    (participant \w+( as [\w ]+)?|\w+(-->>|->>|--x)\w+: .+|Note over \w+(,\w+)?: .+)", line
        )
