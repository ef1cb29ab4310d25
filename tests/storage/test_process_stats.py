"""Statistics that a process publishes, read back from Redis."""

from conferral.storage.queries import process_stats
from conferral.storage.queries.process_stats import ProcessStats
from tests.support.each import each


@each(
    "data, expected",
    [
        *((odd, None) for odd in (None, [], "x", 7)),
        ({}, ProcessStats()),
        # Another version's fields, and values that are no counts, are passed over.
        ({"events": 3, "unknown": 9, "commits": "many", "requests": -1, "given_up": True}, ProcessStats(events=3)),
        ({"failures": 5}, ProcessStats()),
        *(({"failures": {"20429": count}}, ProcessStats(failures={"20429": count})) for count in (0, 7, 2**53)),
        *(({"failures": {"21220": 1, "odd": no_count}}, ProcessStats(failures={"21220": 1}))
          for no_count in (2**53 + 1, -1, True, "7", "x")),
    ],
)  # fmt: skip
def test_statistics_are_read_as_far_as_they_are_understood(data: object, expected: ProcessStats | None) -> None:
    assert process_stats.from_json(data) == expected
