"""Update the diagrams in docs/flows/ by running each flow end to end.

They stand between `<!-- flow: NAME -->` and `<!-- /flow -->`.
"""

import asyncio
import logging
import re
import sys
from pathlib import Path

import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from tests.support import documented_flows  # noqa: E402
from tests.support.redis_server import RedisServer, found_programs  # noqa: E402

FOLDER = ROOT / "docs" / "flows"
_PLACE = re.compile(r"(<!-- flow: (?P<name>[a-z-]+) -->\n)(?P<drawn>.*?)(<!-- /flow -->)", re.DOTALL)


def drawn_in(text: str) -> dict[str, str]:
    """Return a page's diagrams by the name of their flow."""
    return {
        place["name"]: place["drawn"].removeprefix("```mermaid\n").removesuffix("```\n")
        for place in _PLACE.finditer(text)
    }


def with_diagrams(text: str, diagrams: dict[str, str]) -> str:
    """Return a page with these diagrams in their places."""
    return _PLACE.sub(lambda place: f"{place[1]}```mermaid\n{diagrams[place['name']]}```\n{place[4]}", text)


def main() -> int:
    """Run every flow, and write the pages that changed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    diagrams = {}
    with RedisServer(next(iter(found_programs().values()))) as server:
        for name in documented_flows.FLOWS:
            with server.client() as client:
                client.flushall()
            diagrams[name] = asyncio.run(documented_flows.draw(server.url, name))
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text("utf-8")
        if (new := with_diagrams(text, diagrams)) != text:
            page.write_text(new, "utf-8")
            print(page.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
