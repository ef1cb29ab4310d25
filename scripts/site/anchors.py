"""Anchors of headings as forges make them, so that links work on both."""

import re


def slugify(text: str, separator: str) -> str:
    """Return the anchor of a heading's text."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)
