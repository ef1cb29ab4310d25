"""Fill the marked blocks of sandbox/docs/fidelity.md from the sandbox's tables.

A block is what stands between `<!-- sandbox: NAME -->` and `<!-- /sandbox -->`.
"""

import re
from collections.abc import Mapping

from page_parts import ROOT, table

from offhook.model.twiml_grammar import GRAMMAR, SCHEMA_WARNING

PAGE = "sandbox/docs/fidelity.md"
BLOCK = re.compile(r"(<!-- sandbox: (\w+) -->\n)(.*?)(<!-- /sandbox -->)", re.DOTALL)


def fidelity_page() -> str:
    """Return the page with its blocks as the tables have them now."""
    return BLOCK.sub(lambda at: f"{at[1]}\n{BLOCKS[at[2]]()}\n{at[4]}", (ROOT / PAGE).read_text("utf-8"))


def _codes() -> str:
    """Return Twilio's codes of wrong values and nested elements."""
    by_code: dict[int, list[str]] = {}
    shown: Mapping[int, list[str]] = by_code
    for name, element in GRAMMAR.items():
        if element.child_code != SCHEMA_WARNING:
            by_code.setdefault(element.child_code, []).append(f"another element in `<{name}>`")
        for attribute, it in element.attributes.items():
            if it.code != SCHEMA_WARNING and it.values.pattern != ".*":
                by_code.setdefault(it.code, []).append(f"`{attribute}` of `<{name}>`: {it.values.shown}")
    rows = ((f"[{code}](https://www.twilio.com/docs/errors/{code})", "; ".join(shown[code])) for code in sorted(shown))
    return table(("Code", "For anything but"), rows)


BLOCKS = {"codes": _codes}
