"""Generate the reference page of the Redis keys, the session's fields, and the scripts."""

import json
import re
from typing import Any

from page_parts import ROOT, page, prose, table, words
from source_notes import header_of

from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, first_label
from conferral.statemachine.states import (
    TRANSFER_MODES,
    PartyStatus,
    Phase,
    RecordingStatus,
    State,
    SuperviseMode,
    TransferStatus,
)
from conferral.storage import keys
from conferral.storage.codecs import session_codec
from conferral.webhooks.api import openapi


def redis_page() -> str:
    """Return every key, session field, and script."""
    folder = ROOT / "conferral" / "storage" / "scripts"
    scripts = [
        (f"[{path.stem}](../../{path.relative_to(ROOT)})", " ".join(_purpose(path.read_text("utf-8")).split()))
        for path in sorted(folder.glob("*.lua"))
    ]
    stored = session_codec.encode(_example())
    record = json.dumps(json.loads(stored.pop(session_codec.RECORD)), indent=1)
    example = "\n".join(f"{name:<12}{value}".rstrip() for name, value in stored.items())
    return page(
        "conferral/storage/", "# Redis keys and scripts\n", prose(_INTRO),
        "## Keys\n", _keys_table(), prose(_DEAD),
        "## A log entry's fields\n", prose(_LOG), _described("LogEntry", without="entry"),
        "## An outcome's fields\n", prose(_OUTCOMES), _described("Outcome"),
        prose(_ATTEMPTS), _described("OutcomeAttempt"), prose(_AGENTS), _described("OutcomeAgent"),
        "## The session's record\n", prose(_SESSIONS), f"```text\n{example}\n```\n", prose(_RECORD),
        f"```json\n{record}\n```\n", _fields(),
        "## Scripts\n", "Only these write sessions, leases, and effects. Each file says what it takes and answers.\n",
        table(("Script", "Does"), scripts),
    )  # fmt: skip


_INTRO = (
    "All keys have one prefix, `CONFERRAL_PREFIX`, on a cluster in braces. `P` is the partition, a decimal number: the "
    "CRC-32 of the session's id, modulo `CONFERRAL_PARTITIONS`. You may read everything, but write only to the command "
    "stream."
)
_LOG = (
    "An entry of a session's log has these fields. Lists and objects are JSON, and all after `effects` are absent where"
    " they don't apply. Applied in order, `changes` say who was there, connected, and held at each version."
)
_OUTCOMES = (
    "An entry of the [outcomes stream](../commands.md#outcomes-for-other-systems) has all of these fields; what is not "
    "known, or not of its kind, is empty. In JSON, numbers are numbers, lists are lists, and what is empty is `null`. "
    "Names with `_s` are seconds, with up to three decimals."
)
_ATTEMPTS = "Each of its `attempts`:"
_AGENTS = "Each of its `agents`:"
_DEAD = (
    "A dead letter has the first 64 KiB of the original entry's fields, plus `dead_reason`, `dead_stream`, "
    "`dead_entry`, and `dead_size`: the size of the whole entry, in bytes."
)
_SESSIONS = (
    "A session's hash has fields to look at, and for scripts. One `HGETALL` returns one version of the session. An "
    "example:"
)
_RECORD = (
    "Its field `session` is the whole record, as JSON. Times are Unix milliseconds, with names in `_ms`. `id`, "
    "`state`, `phase`, `direction`, `created_at_ms`, a party's `status`, and a transfer's `mode` and `status` are "
    "always there; any other key that is absent is `false`, empty, or 0. Keys that this page does not name may change "
    "with every version."
)


def _purpose(lua: str) -> str:
    """Return the first paragraph of a script's header."""
    return header_of(lua).partition("\n\n")[0]


def _keys_table() -> str:
    shown = keys.Keys("PREFIX", 16)
    placeholders: dict[str, Any] = {"call": "CALLSID", "command": "CID", "identity": "DIGEST"}
    rows = []
    for name, member in vars(keys.Keys).items():
        if isinstance(member, keys.Key):
            value = getattr(shown, name)
            if callable(value):
                value = value(7 if isinstance(member, keys.PartitionKey) else placeholders.get(name, "ID"))
            rows.append((f"`{re.sub('^PREFIX:[0-9]+:', 'PREFIX:P:', value)}`", member.about))
    return table(("Key", "Content"), rows)


def _described(name: str, without: str = "") -> str:
    """Return the fields of a type of the API, which has the same words."""
    fields = openapi.document("")["components"]["schemas"][name]["properties"].items()
    rows = [(f"`{field}`", described["description"]) for field, described in fields if field != without]
    return table(("Field", "Content"), rows)


def _fields() -> str:
    """Return what the fields mean that don't explain themselves."""
    without_phase = "during a conversion, and at the end"
    about = {
        "state": f"{words(State)}.",
        "phase": f"{words(phase for phase in Phase if phase)}; empty {without_phase}. "
        "In a conference, `connected` does not mean that no one is on hold.",
        "number": "Our number that was called, or that the customer sees; empty if unknown. Browsers and SIP phones "
        "that called no number count as callers of `TWILIO_NUMBER`.",
        "ref": "Your reference, of the hand-off, or the newest `call` or `transfer` that gave one.",
        "parked_until_ms": "When the park times out; absent if the call is not parked.",
        "parties.NAME.status": f"{words(PartyStatus)}.",
        "parties.NAME.since_ms": "While held, when the hold began; else when this status began.",
        "parties.NAME.supervises": f"A supervisor's requested mode: {words(SuperviseMode)}. `muted` and `coaches` hold "
        "what Twilio has confirmed.",
        "parties.NAME.coaches": "For a whispering supervisor: the call that hears them.",
        "transfer.*": "The newest transfer, until the next one begins; absent before the first. Finished ones are in "
        "the [outcomes stream](../commands.md#outcomes-for-other-systems).",
        "transfer.mode": f"The requested mode: {words(TRANSFER_MODES)}, `park`, `retrieve`.",
        "transfer.to": "The destinations; of names from the directory, the addresses.",
        "transfer.status": f"{words(TransferStatus)}. It stays `failed` if the agent is called back or a fallback "
        "answers.",
        "transfer.reason": "Why it failed or was canceled: a reason of "
        "[a failed command](reasons.md#why-a-command-fails), `command`, or `target-left`; after a comma, what "
        "followed, such as `busy, recall no-answer`.",
        "transfer.code": "Twilio's error code, if Twilio refused what the transfer needed.",
        "recording.*": f"The newest recording, absent before the first: `sid`, `url`, `duration_s`, and `status`: "
        f"{words(RecordingStatus)}.",
    }
    return table(("Field", "Meaning"), [(f"`{name}`", meaning) for name, meaning in about.items()])


def _example() -> Session:
    session_id = "CA" + "0" * 30 + "a1"
    start_ms = 1_795_000_000_000
    parties = {
        name: Party(name, first_label(name), sid, address, PartyStatus.CONNECTED, since_ms=start_ms + 4_250)
        for name, sid, address in (
            (CUSTOMER, session_id, "+15550123"),
            (AGENT, "CA" + "0" * 30 + "b2", "client:alice"),
        )
    }
    return Session(
        session_id, State.CONFERENCED, Phase.CONNECTED, version=9, created_at_ms=start_ms,
        updated_at_ms=start_ms + 21_500, conference_sid="CF" + "0" * 30 + "c3", conference_name=session_id,
        number="+15550100", parties=parties,
    )  # fmt: skip
