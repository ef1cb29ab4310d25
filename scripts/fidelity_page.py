"""Fill the marked blocks of sandbox/docs/fidelity.md from the sandbox's tables.

A block is what stands between `<!-- sandbox: NAME -->` and `<!-- /sandbox -->`.
"""

import re
from collections.abc import Iterable, Mapping

from page_parts import ROOT, table, words

from offhook.model.rest import parameters
from offhook.model.twiml_grammar import GRAMMAR, SCHEMA_WARNING, Element, Support

PAGE = "sandbox/docs/fidelity.md"
BLOCK = re.compile(r"(<!-- sandbox: (\w+) -->\n)(.*?)(<!-- /sandbox -->)", re.DOTALL)
#: Elements that another's page of Twilio's describes, or one with another name.
DESCRIBED_WITH = {
    "Identity": "client", "Parameter": "client", "Uri": "sip", "Task": "enqueue",
    "ConversationRelay": "connect/conversationrelay",
}  # fmt: skip
IGNORED = (Support.MISSING, Support.LOGGED)


def fidelity_page() -> str:
    """Return the page with its blocks as the tables have them now."""
    return BLOCK.sub(lambda at: f"{at[1]}\n{BLOCKS[at[2]]()}\n{at[4]}", (ROOT / PAGE).read_text("utf-8"))


def _operations() -> str:
    """Return each operation's parameters, and those of Twilio's that are ignored."""
    described = parameters.description()["operations"]
    rows = []
    for operation in sorted(parameters.MODELED, key=lambda it: (it.partition(" ")[2], it)):
        taken = parameters.MODELED[operation].split()
        known = described.get(operation)
        modeled = {name.partition("=")[0] for name in taken}
        accepted = modeled | parameters.NO_EFFECT
        ignored = "not described" if known is None else _listed(name for name in known if name not in accepted)
        shown = _listed(name for name in taken if name not in {"PageSize", "Page", "PageToken"})
        rows.append((f"`{operation.replace('{}', 'ID')}`", shown, ignored))
    return table(("Operation", "Parameters", "Ignored"), rows)


def _accepted() -> str:
    names = words(sorted(parameters.NO_EFFECT))
    return f"Accepted without effect, since they concern only sound or carriers: {names}.\n"


def _listed(names: Iterable[str]) -> str:
    return words(names) or "none"


def _elements() -> str:
    """Return what is modeled of each element, what has no effect, and what is ignored."""
    rows = []
    for name, element in GRAMMAR.items():
        if name in {"Response", "Start", "Stop"}:
            continue
        inside = [f"`<{child}>`" for child, support in element.children.items() if support is Support.MODELED]
        modeled = _supported(element, Support.MODELED)
        shown = "; ".join(part for part in (words(modeled), ", ".join(inside), element.note) if part)
        ignored = words(_supported(element, *IGNORED))
        missing = ", ".join(f"`<{child}>`" for child, support in element.children.items() if support in IGNORED)
        left_out = "; ".join(part for part in (ignored, missing) if part)
        page = f"https://www.twilio.com/docs/voice/twiml/{DESCRIBED_WITH.get(name, name.lower())}"
        rows.append((f"[`<{name}>`]({page})", shown or "no attributes", left_out or "none"))
    return table(("Element", "Modeled", "Ignored"), rows)


def _supported(element: Element, *support: Support) -> list[str]:
    """Return the names of the attributes, with the one value of each that isn't ignored."""
    return [
        f'{name}="{it.only}"' if it.only and Support.MODELED in support else name
        for name, it in element.attributes.items()
        if it.support in support or (it.only and Support.MODELED in support)
    ]


def _no_effect() -> str:
    found = {name: _supported(element, Support.NO_EFFECT) for name, element in GRAMMAR.items()}
    lines = [f"- `<{name}>`: {words(attributes)}" for name, attributes in found.items() if attributes]
    for name, element in GRAMMAR.items():
        inside = [f"`<{child}>`" for child, support in element.children.items() if support is Support.NO_EFFECT]
        if inside:
            lines.append(f"- in `<{name}>`: {', '.join(inside)}")
    return "\n".join(lines) + "\n"


def _verbs() -> str:
    of_response = GRAMMAR["Response"].children
    missing = ", ".join(f"`<{name}>`" for name, support in of_response.items() if support is Support.MISSING)
    logged = ", ".join(
        f"`<{name}>` ({', '.join(f'`<{noun}>`' for noun in GRAMMAR[name].children)})"
        for name, support in of_response.items()
        if support is Support.LOGGED
    )
    return (
        f"- Accepted and logged; the call goes on, as at Twilio, and nothing else happens: {logged}.\n"
        f"- Ignored, though Twilio would run them: {missing}.\n"
    )


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


BLOCKS = {
    "operations": _operations,
    "accepted": _accepted,
    "elements": _elements,
    "no_effect": _no_effect,
    "verbs": _verbs,
    "codes": _codes,
}
