"""Words joined for sentences that people read."""

from collections.abc import Sequence


def join_words(words: Sequence[str], conjunction: str) -> str:
    """Join words for a sentence.

    >>> join_words(["warm", "consult", "blind"], "or")
    'warm, consult, or blind'
    """
    *others, last = words
    return f"{', '.join(others)}, {conjunction} {last}" if others[1:] else f" {conjunction} ".join(words)
