"""Numbers and times as text: what other programs write, and what is out of range."""

from conferral.storage.codecs.text_codec import int_of
from conferral.storage.codecs.timestamps import from_iso, to_iso
from tests.support.each import each


@each("raw, number", [(None, 0), (b"", 0), (b"7", 7), (b"-7", -7), (b"seven", 0)])
def test_number_of_another_program_counts_as_none(raw, number):
    assert int_of(raw) == number


@each("unix_ms, text", [(0, ""), (1, "1970-01-01T00:00:00.001Z"), (-5, "1970-01-01T00:00:00.000Z"),
                        (10**15, "9999-12-31T23:59:59.000Z")],
)  # fmt: skip
def test_time_out_of_range_is_shown_as_the_nearest(unix_ms, text):
    assert to_iso(unix_ms) == text


def test_text_without_a_time_is_an_unknown_one():
    assert from_iso("") == 0
