"""Generate pages in docs/, and the desk's words: `make docs`. `--check` reports stale ones."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import alerts_page  # noqa: E402
import api_pages  # noqa: E402
import cli_page  # noqa: E402
import commands_page  # noqa: E402
import coverage_page  # noqa: E402
import diagram  # noqa: E402
import directory_page  # noqa: E402
import fidelity_page  # noqa: E402
import installing_pages  # noqa: E402
import llms_page  # noqa: E402
import log_events_page  # noqa: E402
import performance_page  # noqa: E402
import readyz_page  # noqa: E402
import reasons_page  # noqa: E402
import redis_page  # noqa: E402
import settings_page  # noqa: E402
import statemachine_page  # noqa: E402
import testing_page  # noqa: E402
from source_notes import notes_of  # noqa: E402

from conferral.runtime.web.json_requests import ERRORS_PAGE  # noqa: E402
from conferral.statemachine.states import State  # noqa: E402


def _states_page() -> str:
    path = ROOT / "statemachine" / "states.py"
    notes = notes_of(path, "State")
    return statemachine_page.statemachine_page(
        {state: notes[state.name] for state in State}, notes_of(path, "TransferStage")
    )


def _state_page(state: State) -> str:
    meanings = notes_of(ROOT / "statemachine" / "states.py", "State")
    return statemachine_page.state_page(state, meanings[state.name])


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/statemachine.md": _states_page,
    "docs/reference/statemachine.svg": diagram.svg,
    "docs/reference/settings.md": settings_page.settings_page,
    "docs/reference/metrics.md": settings_page.metrics_page,
    "docs/reference/redis.md": redis_page.redis_page,
    "docs/reference/alerts.md": alerts_page.alerts_page,
    "docs/reference/directory.md": directory_page.directory_page,
    "docs/reference/readyz.md": readyz_page.readyz_page,
    "docs/reference/runs.md": performance_page.runs_page,
    "docs/reference/log-events.md": log_events_page.log_events_page,
    "docs/reference/cli.md": cli_page.cli_page,
    "docs/reference/testing.md": testing_page.testing_page,
    "sandbox/docs/testing.md": testing_page.offhook_page,
    "docs/reference/api.md": api_pages.api_page,
    ERRORS_PAGE: api_pages.errors_page,
    "docs/reference/reasons.md": commands_page.reasons,
    "docs/reference/tools.json": commands_page.tools,
    llms_page.PAGE: llms_page.llms_page,
    fidelity_page.PAGE: fidelity_page.fidelity_page,
    coverage_page.PAGE: coverage_page.coverage_page,
    "docs/commands.md": partial(commands_page.filled, "docs/commands.md"),
    "webhooks/desk/static/reasons.js": reasons_page.desk_script,
}
for state in State:
    PAGES[f"docs/reference/state-{state}.md"] = partial(_state_page, state)
for page in installing_pages.PAGES:
    PAGES[page] = partial(installing_pages.filled, page)
PAGES[coverage_page.README] = lambda: coverage_page.filled(installing_pages.filled(coverage_page.README))
for page in ("README.md", "docs/performance.md", "docs/reliability.md"):
    PAGES[page] = partial(performance_page.filled, page)


def main() -> int:
    """Write what changed; with `--check`, return 1 if anything is stale."""
    texts = {ROOT / name: make() for name, make in PAGES.items()}
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], "utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
