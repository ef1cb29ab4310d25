"""Which tests `make test` leaves to `make test-more`, and which play calls, so that both run them.

`tests/README.md` says of each group what only it catches.
"""

from pathlib import Path

import pytest

#: Folders and files whose tests `make test` leaves out, by the beginning of their path, and those that it runs.
MORE: dict[str, tuple[str, ...]] = {
    "tests/benchmarks/": (),
    "tests/browser/": (
        "test_console_access.py::test_a_reader_changes_nothing",
        "test_desk.py::test_two_desks_play_a_consult_by_clicks_alone",
        "test_transfer.py::test_a_consult_transfer_is_played_by_clicks_alone",
    ),
    "tests/conferral/examples/": (
        "test_taskrouter_example.py::test_reserved_worker_gets_the_caller_and_the_outcome_completes_the_task",
    ),
    "tests/docs/test_distribution.py": (),
    "tests/live/": (),
    "tests/test_tiers.py": (),
    "tests/worker/queue/test_interleavings.py": (),
    "sandbox/tests/programs/": ("test_readme.py::test_first_example_prints_what_the_readme_shows",),
}
KEPT = frozenset(f"{path}{name}" for path, kept in MORE.items() for name in kept)
_FILES_WITH_KEPT = frozenset(test.partition("::")[0] for test in KEPT)
_SOAK = "tests/soak/"
#: Folders whose tests play calls. Where processes are started, these have the machine's time.
_PACED = ("tests/fault_injection/", "tests/flows/")


def is_more(nodeid: str) -> bool:
    """Whether `make test` leaves a test out."""
    return nodeid.startswith(tuple(MORE)) and nodeid not in KEPT


def is_paced(item: pytest.Item) -> bool:
    """Whether `make test` plays a test in quick time, and `make test-more` at real pace."""
    return item.nodeid.startswith(_PACED) and item.get_closest_marker("processes") is None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spares a run the import of files of which it would have no test."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    file, chosen = collection_path.relative_to(config.rootpath).as_posix(), config.option.markexpr
    is_left_out = "not more" in chosen and file.startswith(tuple(MORE)) and file not in _FILES_WITH_KEPT
    return (is_left_out or ("not soak" in chosen and file.startswith(_SOAK))) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks them, before -m chooses."""
    for item in items:
        if is_more(item.nodeid):
            item.add_marker("more")
        if is_paced(item):
            item.add_marker("paced")
