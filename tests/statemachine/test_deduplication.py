"""Which events count as seen: by the numbers of their call or conference, else by their token; in bounded space."""

from conferral.statemachine.parts import SeenEvents

#: How many numbers of a call or conference are kept, and how many tokens and sources.
NUMBERS, TOKENS, SOURCES = 256, 128, 128


def numbered(sequence: int, source: str = "CF1") -> tuple[str, int, str]:
    return source, sequence, ""


def command(token: str) -> tuple[str, None, str]:
    return "", None, token


def seen(*sequences: int, source: str = "CF1") -> SeenEvents:
    events = SeenEvents()
    for sequence in sequences:
        events = events.with_event(*numbered(sequence, source))
    return events


def test_numbers_are_distinguished_among_those_kept_and_count_as_seen_below():
    events = seen(1, *range(3, NUMBERS + 3))

    assert [number for number in range(NUMBERS + 4) if not events.contains(*numbered(number))] == [NUMBERS + 3]
    assert events.with_event(*numbered(2)) is events, "too old to tell"
    assert not events.contains(*numbered(300, "CF2"))


def test_number_stays_known_until_enough_higher_ones_came():
    assert seen(2, *range(4, NUMBERS + 3)).contains(*numbered(2))
    assert not seen(*range(4, NUMBERS + 3)).contains(*numbered(2))
    assert not seen(1, *range(3, NUMBERS + 2)).contains(*numbered(2)), "above the lowest that is kept"
    assert seen(5, 8, 7) == seen(5, 7, 8), "a late one is noted in its place"
    assert not seen(5, 8).contains(*numbered(7))
    assert seen(5, 8).with_event(*numbered(5)) == seen(5, 8)


def test_gap_is_a_number_above_the_lowest_kept_that_was_not_seen():
    assert not seen(1, 2, 3).has_gap("CF1", 0)
    assert seen(1, 3).has_gap("CF1", 0)
    assert seen(1, 3).has_gap("CF1", 1)
    assert not seen(1, 3).has_gap("CF1", 2), "a read has made up for the second"
    assert not seen(1, 3).has_gap("CF1", 3)
    assert not seen(1, 3).has_gap("CF1", 9)
    assert not seen(1, 3).has_gap("CF2", 0), "nothing was seen of it"
    complete = range(2, NUMBERS + 2)
    assert not seen(*complete).has_gap("CF1", 0), "the first is no longer kept"
    assert seen(*complete[1:]).has_gap("CF1", 0)


def test_oldest_token_is_dropped_first():
    events = SeenEvents()
    for number in range(TOKENS + 1):
        events = events.with_event(*command(f"c{number}"))

    assert [number for number in range(TOKENS + 2) if not events.contains(*command(f"c{number}"))] == [0, TOKENS + 1]
    assert not events.contains(*command("")), "an event without a token can't be recognized"
    assert events.with_event(*command("")) is events


def test_source_that_was_silent_longest_is_dropped_first():
    events = seen(1, source="CA0")
    for number in range(1, SOURCES - 1):
        events = events.with_event(*numbered(1, f"CA{number}"))
    events = events.with_event(*numbered(2, "CA0")).with_event(*numbered(1, "CA-new"))
    assert len(events.numbers) == SOURCES

    events = events.with_event(*numbered(1, "CA-newer"))
    assert len(events.numbers) == SOURCES
    assert {"CA0", "CA2", "CA-new", "CA-newer"} <= events.numbers.keys()
    assert "CA1" not in events.numbers
