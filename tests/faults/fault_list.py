"""Which faults of the list can't be played here, and why; the list itself is a table of docs/reliability.md."""

#: By number, the reason in words, as docs/reliability.md gives it.
NOT_TESTED: dict[int, str] = {}

#: Faults whose test is still to be written. It only ever gets shorter.
OPEN: frozenset[int] = frozenset({35, 36, 37, 55, 56, 57, 58, 59})
