"""Which faults of the list can't be played here, and why; the list itself is a table of docs/reliability.md."""

#: By number, the reason in words, as docs/reliability.md gives it.
NOT_TESTED: dict[int, str] = {}
