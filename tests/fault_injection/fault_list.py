"""Which faults of the list can't be played here, and why; the list itself is `faults.py`."""

#: By number, the reason in words, as docs/reference/faults.md gives it.
NOT_TESTED: dict[int, str] = {}
