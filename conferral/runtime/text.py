"""Words joined for sentences, and lists that are one text."""

from collections.abc import Sequence


def join_words(words: Sequence[str], conjunction: str) -> str:
    """Join words for a sentence.

    >>> join_words(["warm", "consult", "blind"], "or")
    'warm, consult, or blind'
    """
    if len(words) > 2:
        return f"{', '.join(words[:-1])}, {conjunction} {words[-1]}"
    return f" {conjunction} ".join(words)


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a list that is one text, with commas between them.

    >>> split_list("recall, https://example.com/menu"), split_list("")
    (('recall', 'https://example.com/menu'), ())
    """
    return tuple(item.strip(" ") for item in text.split(",")) if text.strip(" ") else ()
