"""Templates of documents, which differ only in a few names.

twilio-python takes twenty times as long. Callers hear silence while a call is moved, so joins come from templates.
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
        """Return a document with up to 8 names, from a template if there is one.

        `kind` is everything else that distinguishes the document. `build` must only write the names.
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
