"""The page of what Offhook models of Twilio: sandbox/docs/coverage.md, and its totals in sandbox/README.md."""

import re
from collections.abc import Iterable

from page_parts import page, table, words

from offhook.model.rest import parameters
from offhook.model.twiml_grammar import GRAMMAR, Element, Support

PAGE, README = "sandbox/docs/coverage.md", "sandbox/README.md"
BLOCK = re.compile(r"(<!-- coverage -->\n)(.*?)(<!-- /coverage -->)", re.DOTALL)
TESTS = "../tests/model/test_model_coverage.py"
SOURCE = "https://github.com/twilio/twilio-oai"
#: Elements that another's page of Twilio's describes, or one with another name.
DESCRIBED_WITH = {
    "Identity": "client", "Parameter": "client", "Uri": "sip", "Task": "enqueue",
    "ConversationRelay": "connect/conversationrelay",
}  # fmt: skip
_INTRO = f"""\
The operations and parameters are those of [Twilio's OpenAPI]({SOURCE}) for voice and text
messages, the elements and attributes those of Twilio's own library, twilio-python 9.13. What each does is on Twilio's
pages, and in [Fidelity](fidelity.md).

- *Modeled*: it does what Twilio's documentation says.
- *Accepted*: it concerns only sound, prices, carriers, or regions, or the bot that a script replaces. No alert.
- *Ignored*: the debugger has an alert, which fails tests with the fixtures.
- *Refused*: 404, and an alert.

[Tests]({TESTS}) go through these tables. They show each row but what is modeled, which
has tests of its own.
"""
IGNORED = (Support.MISSING, Support.LOGGED)


def coverage_page() -> str:
    """Return the page."""
    return page(
        "the tables of sandbox/offhook/model",
        "# What Offhook models of Twilio\n",
        _INTRO,
        "## Totals\n",
        table(("Twilio has", "modeled", "accepted", "ignored", "refused"), _totals()),
        "## Operations\n",
        "Lists also take `PageSize`, `Page`, and `PageToken`.\n",
        table(("Operation", "Modeled", "Accepted", "Ignored"), _operations()),
        "Refused:\n",
        *(f"- `{it}`" for it in _shown(_refused())),
        "",
        "## TwiML\n",
        "After `=` is the one value of an otherwise ignored attribute that is modeled.\n",
        table(("Element", "Modeled", "Accepted", "Ignored"), _elements()),
    )


def filled(text: str) -> str:
    """Return the README's text with the totals."""
    counted = {name: (counts[0], sum(int(it) for it in counts if it)) for name, *counts in _totals()}
    said = ", ".join(f"{modeled} of {whole} {name}" for name, (modeled, whole) in counted.items())
    said = (
        f"Of what Twilio has for voice and text messages, it models {said}. The rest is refused, or an alert, unless "
        f"it concerns only sound, prices, or carriers: [the list](https://github.com/conferral/conferral/blob/main/{PAGE})."
    )
    return BLOCK.sub(lambda at: f"{at[1]}{said}\n{at[3]}", text)


def _of_parameters(operation: str) -> dict[str, list[str]]:
    """Return an operation's parameters by what becomes of them."""
    taken = parameters.MODELED[operation].split()
    others = [it for it in parameters.description()["operations"].get(operation, ()) if it not in taken]
    return {
        "modeled": taken,
        "accepted": [it for it in others if it in parameters.NO_EFFECT],
        "ignored": [it for it in others if it not in parameters.NO_EFFECT],
    }


def _totals() -> list[tuple[str, str, str, str, str]]:
    of_parameters = [_of_parameters(it) for it in parameters.MODELED]
    counted = [str(sum(len(one[kind]) for one in of_parameters)) for kind in ("modeled", "accepted", "ignored")]
    children = {it: support for element in GRAMMAR.values() for it, support in element.children.items()}
    supports = [it.support for element in GRAMMAR.values() for it in element.attributes.values()]

    def count(values: Iterable[Support]) -> tuple[str, str, str]:
        known = list(values)
        accepted, ignored = known.count(Support.NO_EFFECT), sum(it in IGNORED for it in known)
        return str(len(known) - accepted - ignored), str(accepted), str(ignored)

    return [
        ("operations", str(len(parameters.MODELED)), "", "", str(len(_refused()))),
        ("parameters of these operations", counted[0], counted[1], counted[2], ""),
        ("TwiML elements", *count(children.values()), ""),
        ("attributes", *count(supports), ""),
    ]


def _refused() -> list[str]:
    return [
        it
        for it in parameters.description()["operations"]
        if parameters.is_of_voice(it) and it not in parameters.MODELED
    ]


def _shown(operations: Iterable[str]) -> list[str]:
    return [it.replace("{}", "ID") for it in sorted(operations, key=lambda it: (it.partition(" ")[2], it))]


def _operations() -> list[tuple[str, str, str, str]]:
    rows = []
    for operation in sorted(parameters.MODELED, key=lambda it: (it.partition(" ")[2], it)):
        found = _of_parameters(operation)
        modeled = [name for name in found["modeled"] if name not in {"PageSize", "Page", "PageToken"}]
        rows.append(
            (f"`{operation.replace('{}', 'ID')}`", words(modeled), words(found["accepted"]), words(found["ignored"]))
        )
    return rows


def _elements() -> list[tuple[str, str, str, str]]:
    rows = []
    for name, element in GRAMMAR.items():
        cells = [_cell(element, *kinds) for kinds in ((Support.MODELED,), (Support.NO_EFFECT,), IGNORED)]
        cells[0] = "; ".join(filter(None, (cells[0], element.note.replace("](#", "](fidelity.md#"))))
        link = f"https://www.twilio.com/docs/voice/twiml/{DESCRIBED_WITH.get(name, name.lower())}"
        shown = f"`<{name}>`" if name == "Response" else f"[`<{name}>`]({link})"
        rows.append((shown, *cells))
    return rows


def _cell(element: Element, *supports: Support) -> str:
    """Return attributes and children; with the one value that is modeled of an ignored one."""
    names = [
        f'{name}="{it.only}"' if it.only and Support.MODELED in supports else name
        for name, it in element.attributes.items()
        if it.support in supports or (it.only and Support.MODELED in supports)
    ]
    children = ", ".join(f"`<{child}>`" for child, support in element.children.items() if support in supports)
    return "; ".join(filter(None, (words(names), children)))
