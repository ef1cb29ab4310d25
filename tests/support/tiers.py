"""Which tests `make test` leaves to `make test-more`, and which play calls, so that both run them.

`tests/README.md` says of each group what only it catches.
"""

import pytest

#: Folders and files whose tests `make test` leaves out, by the beginning of their path, and those that it runs.
MORE: dict[str, tuple[str, ...]] = {
    "tests/benchmarks/": (),
    "tests/browser/": (
        "test_two_desks_play_a_consult_by_clicks_alone",
        "test_a_reader_changes_nothing",
        "test_a_consult_transfer_is_played_by_clicks_alone",
    ),
    "tests/conferral/demo/test_demo_stories.py": ("test_demo_flow_runs_to_its_end_and_leaves_no_call[handoff]",),
    "tests/conferral/examples/": ("test_reserved_worker_gets_the_caller_and_the_outcome_completes_the_task",),
    "tests/docs/test_distribution.py": (),
    "tests/live/": (),
    "tests/test_tiers.py": (),
    "tests/worker/queue/test_interleavings.py": (),
    "sandbox/tests/programs/": ("test_first_example_prints_what_the_readme_shows",),
}
#: Folders whose tests play calls. Where processes are started, these have the machine's time.
_PACED = ("tests/fault_injection/", "tests/flows/")


def is_more(nodeid: str) -> bool:
    """Whether `make test` leaves a test out."""
    return any(nodeid.startswith(path) and nodeid.rpartition("::")[2] not in kept for path, kept in MORE.items())


def is_paced(item: pytest.Item) -> bool:
    """Whether `make test` plays a test in quick time, and `make test-more` at real pace."""
    return item.nodeid.startswith(_PACED) and item.get_closest_marker("processes") is None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks them, before -m chooses."""
    for item in items:
        if is_more(item.nodeid):
            item.add_marker("more")
        if is_paced(item):
            item.add_marker("paced")
