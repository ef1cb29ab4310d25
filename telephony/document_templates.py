"""Templates of documents: the same document for other sessions differs only in a few names.

Building a document with twilio-python takes twenty times as long as writing names into one. Callers hear silence
meanwhile, so joins, which are sent while a call is moved, come from templates.
"""

import re
from collections.abc import Callable, Hashable, Sequence

#: Names that stay as they are in a URL and in XML.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
#: Stand for the names in a template. No plain name contains a tilde, and neither URLs nor XML escape one.
_PLACEHOLDERS = tuple(f"~{number}~" for number in range(8))
#: Templates kept, count: one for each kind of join and each number's attributes.
KEPT_MAX = 512


class DocumentTemplates:
    """Documents built before, by what they have in common."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, str] = {}

    def fill(self, kind: Hashable, names: Sequence[str], build: Callable[[Sequence[str]], str]) -> str:
        """Return a document with these names, from a template if one was built before.

        Args:
            kind: Everything else that distinguishes the document.
            names: The document's names, at most 8. If one needs escaping, no template is used.
            build: Builds the document with given names; it must only write them.
        """
        if not all(map(_PLAIN.fullmatch, names)):
            return build(names)
        template = self._kept.get(kind)
        if template is not None:
            return _fill(template, names)
        template, document = build(_PLACEHOLDERS[: len(names)]), build(names)
        if _fill(template, names) == document:  # otherwise, its fixed text looks like a placeholder
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[kind] = template
        return document


def _fill(template: str, names: Sequence[str]) -> str:
    for placeholder, name in zip(_PLACEHOLDERS, names, strict=False):
        template = template.replace(placeholder, name)
    return template
