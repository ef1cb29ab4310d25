"""Generate what the documentation and the desk say of the reasons, from their catalog."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable

from page_parts import page, table, words

from conferral.operations.catalog import CALLED_PARTY
from conferral.statemachine.reasons import REASONS, EndReason, Reason

_LINK = re.compile(r"(?<=\]\()(?!#)")
_REJECTED = """\
# Reasons

## Why a command is rejected

The session doesn't allow it now; [the state's page](statemachine.md) says when. Each reason ends with
`; allowed now: …`, or, after the session's end, with `; no commands are allowed`.
"""
_WRONG_HEAD = """\
If the command itself is wrong, the reason names the field and what is valid, and never repeats the value. These need an
explanation:
"""
_WRONG = (
    (
        "`session must not be 7 to 15 digits alone, which could be a phone number`",
        "keys and logs must not contain phone numbers",
    ),
    (
        "`session must not have the form of a SID: two capitals and 32 hex digits`",
        "it would be taken for another call or conference",
    ),
    ("`caller_id: not a number in the account`", "verified caller IDs don't count"),
    (
        "`caller_id: Twilio did not confirm that the number is in the account; try again`",
        (
            "Twilio is asked for a number that isn't in the settings or the directory, and again only 10 s after "
            "a failure"
        ),
    ),
    ("`no call CA… found`", "unknown id or call SID; perhaps it ended more than `CONFERRAL_SESSION_TTL` ago"),
    (
        "`expired`",
        "its [`deadline`](../commands.md#from-anything-that-speaks-redis) passed before a worker decided it",
    ),
    (
        "`dial-limit`",
        (
            "[a limit](../operating.md#limits) of dials was reached. Nothing has changed: in a blind transfer, "
            "the agent stays"
        ),
    ),
)
_FAILED = """\
## Why a command fails

A reason is one of these words, an [`end_reason`](#end_reason), or a sentence. The desk, the console, and the command
line show the words as sentences. The first ones are those of commands that dial, and of an outcome's `attempts`.
"""
_ONLY_OF = """\
`hold-failed` is a reason of `transfer`, `swap`, `park`, and `hold`; `end-flag-unconfirmed` one of commands that dial,
`park`, and `complete`; `target-left`, like `agent-left`, one of `swap`, `merge`, `complete`, and `cancel`.
"""
_SENTENCES = (
    ("any except `end`", "an `end_reason`", "the session ended first"),
    (
        "any",
        "`Twilio refused (HTTP 400, code 21218)`",
        (
            "Twilio's status and code. Nothing changed, and you can repeat the command; after `end`, the session "
            "has ended anyway"
        ),
    ),
    (
        "`announce`, `press`, `unhold`, `mute`, `unmute`, `remove`, `supervise`",
        "`unknown: Twilio did not confirm it`",
        "not confirmed within [its time](../commands.md#commands)",
    ),
    (
        "`record`, `end`",
        "`unknown: Twilio gave no answer`",
        "it is unknown whether the call is being recorded, or whether the last party was disconnected",
    ),
    (
        "`convert`, blind `transfer`",
        "`Twilio did not move the parties in time`",
        "no useful response from Twilio; the session is `bridged` again",
    ),
    ("commands that wait for a conversion", "the conversion's reason", "it failed"),
    (
        "`complete`, `swap`, `merge`, `remove`",
        "`superseded by cancel`",
        "a later command took its place; the word is its name",
    ),
    (
        "`hold`",
        "`the last party that is not on hold can't be put on hold`",
        "it waited for a conversion, and an earlier command held everyone else",
    ),
    (
        "`hold`, `unhold`, `mute`, `unmute`, `supervise`",
        "`superseded by another command`",
        "the opposite was requested before it was confirmed",
    ),
    ("`supervise`", "`Twilio refused (HTTP 400, code 16028)`", "the supervisor hears everyone but isn't heard"),
    ("`supervise`", "`there is no agent to whisper to`", "the agent left while the supervisor was being dialed"),
    ("`announce`", "`the announcement could not be played (…)`", "with Twilio's reason"),
    (
        "`press`",
        "`the digits could not be played (…)`",
        "with Twilio's reason; a 404: they have expired, or Twilio requested them twice",
    ),
    (
        "`press`",
        "`the party is on hold, waiting, or leaving`",
        "it waited for a conversion, and an earlier command held the party",
    ),
)
_SEVERAL = "With several targets, the reason is that of the last one in `to`.\n"
_RETURNED = """\
## Why a caller comes back

The `reason` that [a URL of your app](../handoff.md#if-no-one-answers) gets. `failed` stands for everything else, too,
such as an agent who hung up during the brief, or an address that Twilio refused: outcomes say `hung-up` or `refused`.
"""
_ENDED = """\
## `end_reason`

One word in the session hash after its end. Later releases may add words. Who left first follows from the order of
Twilio's requests, and from Twilio's own times. If two leave within a second of each other, either may be named.
"""


def reasons_page(refusals: str) -> str:
    """Return the page of all reasons; `refusals` is the table of what a session doesn't allow."""
    tables = (refusals, reasons_table(), url_reasons_table(), end_reasons_table())
    rejected, failed, returned, ended = (_in_reference(one) for one in tables)
    wrong = table(("`reason`", "Meaning"), _WRONG)
    sentences = table(("Command", "`reason`", "Meaning"), _SENTENCES)
    parts = (_REJECTED, rejected, _WRONG_HEAD, wrong, _FAILED, failed, _ONLY_OF, sentences, _SEVERAL)
    return page("statemachine/", *parts, _RETURNED, returned, _ENDED, ended)


def _in_reference(table_of_docs: str) -> str:
    """Return a table whose links lead from docs/reference/."""
    return _LINK.sub("../", table_of_docs) + "\n"


def reasons_table() -> str:
    """Return why a command or a dial fails, in words of the catalog."""
    return _table("`reason`, `result`", Reason)


def end_reasons_table() -> str:
    """Return why a session ended."""
    return _table("Word", EndReason)


def url_reasons_table() -> str:
    """Return the reasons that an app's URL gets."""
    return _table("`reason`", (reason for reason in (*Reason, *EndReason) if reason.words.is_in_urls))


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
