"""Statistics that a process publishes, read back from Redis."""

import pytest

from conferral.storage.queries import process_stats
from tests.support.each import each


@each(
    "count, is_kept",
    [(0, True), (7, True), (2**53, True), (2**53 + 1, False), (-1, False), (True, False), ("7", False)],
)
def test_only_counts_of_failures_are_read(count: object, is_kept: bool) -> None:
    stats = process_stats.from_json({"failures": {"20429": count}, "unknown": 1})
    assert stats is not None
    assert stats.failures == ({"20429": count} if is_kept else {})


@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_anything_but_an_object_is_no_statistics(data: object) -> None:
    assert process_stats.from_json(data) is None
