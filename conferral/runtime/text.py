"""Words joined for sentences that people read."""

from collections.abc import Sequence


def join_words(words: Sequence[str], conjunction: str) -> str:
    """Join words for a sentence.

    >>> join_words(["warm", "consult", "blind"], "or")
    'warm, consult, or blind'
    """
    if len(words) > 2:
        return f"{', '.join(words[:-1])}, {conjunction} {words[-1]}"
    return f" {conjunction} ".join(words)
