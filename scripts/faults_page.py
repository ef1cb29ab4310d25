"""Generate docs/reference/faults.md: each fault with its tests."""

import re
from collections import defaultdict

from page_parts import ROOT, page, prose, table

from tests.fault_injection.faults import FAULTS

_INTRO = (
    "What can go wrong around Conferral, what must follow, and the tests that prove it: with a real Redis, real "
    "signals, a proxy that drops, cuts, and delays, and faults injected into the local Twilio. After each test, the "
    "same [invariants](../../tests/fault_injection/invariants.py) are checked: no one was dialed twice for one "
    "command; no stream entry, outbox, timer, or live session is left; the log replays to the stored state; no one "
    "was alone for longer than the grace period and a sweep."
)


def faults_page() -> str:
    """Return the page."""
    links = _links()
    rows = [
        (str(number), fault.fault, fault.follows, ", ".join(links[number])) for number, fault in sorted(FAULTS.items())
    ]
    return page(
        "tests/fault_injection/", "# Faults\n", prose(_INTRO), table(("No.", "Fault", "Required result", "Tests"), rows)
    )


def _links() -> dict[int, list[str]]:
    """Return links to the files with tests of each fault; a test's name begins with the fault's number."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests" / "fault_injection").glob("test_*.py")):
        link = f"[{path.stem.removeprefix('test_')}](../../{path.relative_to(ROOT)})"
        for number in sorted({*re.findall(r"def test_fault_(\d\d)_", path.read_text("utf-8"))}):
            found[int(number)].append(link)
    return found
