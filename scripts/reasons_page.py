"""Generate what the documentation and the desk say of the reasons, from their catalog."""

import json
from collections import defaultdict
from collections.abc import Iterable

from page_parts import table, words

from conferral.operations.catalog import CALLED_PARTY
from conferral.statemachine.reasons import REASONS, EndReason, Reason


def reasons_table() -> str:
    """Return why a command or a dial fails, in words of the catalog."""
    return _table("`reason`, `result`", Reason)


def end_reasons_table() -> str:
    """Return why a session ended."""
    return _table("Word", EndReason)


def url_reasons_table() -> str:
    """Return the reasons that an app's URL gets."""
    return _table("`reason`", (reason for reason in (*Reason, EndReason.CLOSED) if reason.words.is_in_urls))


def desk_script() -> str:
    """Return the desk's words for each reason, as a script."""
    said = {word: _to_agents(reason) for word, reason in REASONS.items()}
    lines = (f"  {json.dumps(word) if '-' in word else word}: {json.dumps(text)}," for word, text in said.items())
    return "\n".join(
        (
            "// Generated from statemachine/reasons.py by `make docs`; don't edit.",
            "",
            "/** What failed or ended a command, a leg, or a call, as the end of a sentence. */",
            "export const REASONS = {",
            *lines,
            "};",
            "",
        )
    )


def _to_agents(reason: Reason | EndReason) -> str:
    found = reason.words
    # An agent calls all customers callers.
    return found.desk or found.said.format(who=CALLED_PARTY).replace("the customer", "the caller")


def _table(column: str, reasons: Iterable[Reason | EndReason]) -> str:
    rows: dict[str, list[str]] = defaultdict(list)
    for one in reasons:
        rows[one.words.about or one.words.said.format(who=CALLED_PARTY)].append(one)
    return table((column, "Meaning"), [(words(named), meaning) for meaning, named in rows.items()]).rstrip("\n")
