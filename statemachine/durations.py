"""Durations: what outcomes report in seconds, counted from facts."""

#: Names of a transfer's and a session's durations. In the outcomes stream, `_s` follows each.
DURATIONS = ("hold", "consult", "answer", "bridged", "conference", "participant", "held", "alone")
