"""A session as it was at any moment, folded from its log; and its history as a file, which can be looked at anywhere.

The log's field `changes` says what each event has changed of what people look at. It has no addresses: those are taken
from the record as it is now, by the participant's label, which is never used for anybody else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from conferral.operations import wording
from conferral.operations.history import timeline
from conferral.operations.history.timeline import EffectRequest, version_of
from conferral.operations.session_queries import Fields, LogEntry
from conferral.runtime.errors import ConferralError
from conferral.storage.codecs.session_codec import decode_public_changes, is_logged

#: Largest file that is read, bytes: the longest log there is takes less.
FILE_BYTES_MAX = 64 * 1024 * 1024
#: Fields that never change, and so are what they are now.
_CONSTANT_FIELDS = ("id", "direction", "created_at", "mode", "agents")


class BadHistoryError(ConferralError):
    """A file is no history of a session."""


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """All that is known of a session."""

    #: Its hash as it is now; holds addresses, so it is in no repr.
    fields: Fields = field(repr=False)
    #: Oldest first.
    log: tuple[LogEntry, ...] = field(repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether the log goes back to the beginning, and each entry says what it has changed."""
        return bool(self.log) and version_of(self.log[0]) == 1 and bool(self.log[0]["changes"])


def at_version(log: Sequence[LogEntry], version: int, last_fields: Fields) -> Fields:
    """A session's hash as it was at a version, as far as people look at it.

    Where the log does not go back to the beginning, what was not changed since is as it is now, and what was is left
    out until it is first told.

    Args:
        log: Oldest first.
        version: Which; of one that is earlier than the log goes back nothing is known.
        last_fields: The hash as it is now.
    """
    then: Fields = {}
    for entry, found in _fold(log, last_fields):
        if version_of(entry) > version:
            break
        then = dict(found)
    return _with_constants(then, last_fields) if then else {}


def all_versions(log: Sequence[LogEntry], last_fields: Fields) -> Iterator[Fields]:
    """The hash behind each entry of a log, as `at_version` has it.

    Args:
        log: Oldest first.
        last_fields: The hash as it is now.
    """
    return (_with_constants(found, last_fields) for _, found in _fold(log, last_fields))


def _fold(log: Sequence[LogEntry], last_fields: Fields) -> Iterator[tuple[LogEntry, Fields]]:
    """Each entry with what is told of the hash behind it; the same dictionary each time, changed."""
    told = [decode_public_changes(entry["changes"]) for entry in log]
    found: Fields = {}
    if log and version_of(log[0]) > 1:
        later = {name for changed in told for name in changed}
        found = {name: value for name, value in last_fields.items() if is_logged(name) and name not in later}
    for entry, changed in zip(log, told, strict=True):
        for name, value in changed.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        found |= {"state": entry["to"], "version": entry["version"], "updated_at": entry["at"]}
        yield entry, found


def _with_constants(then: Fields, now: Fields) -> Fields:
    """With what never changes, and with the addresses of those who took part."""
    for_good = {name: now[name] for name in _CONSTANT_FIELDS if name in now}
    return then | for_good | _addresses(then, now)


def at_time(log: Sequence[LogEntry], at_ms: int, last_fields: Fields) -> Fields:
    """The same as of a moment: at the version that was decided last by then.

    Args:
        log: Oldest first.
        at_ms: Unix milliseconds.
        last_fields: The hash as it is now.
    """
    return at_version(log, version_at(log, at_ms), last_fields)


def version_at(log: Sequence[LogEntry], at_ms: int) -> int:
    """The version that a session had at a moment, Unix milliseconds; 0 before its first."""
    return max((version_of(entry) for entry in log if wording.parse_time_ms(entry["at"]) <= at_ms), default=0)


def pending_effects_at(log: Sequence[LogEntry], version: int) -> tuple[EffectRequest, ...]:
    """What had been asked of Twilio at a version without an outcome yet."""
    return timeline.unfinished_effects(
        timeline.build_timeline([entry for entry in log if version_of(entry) <= version])
    )


def to_json(history: SessionHistory) -> bytes:
    """A history as the JSON of a file: the hash, and the log's entries with their ids, all as they are in Redis."""
    log = [{"entry": entry.entry_id, **entry.fields} for entry in history.log]
    return orjson.dumps({"session": history.fields, "log": log}, option=orjson.OPT_INDENT_2)


def parse_history(body: bytes) -> SessionHistory:
    """The history of a file.

    Raises:
        BadHistoryError: it is none.
    """
    if len(body) > FILE_BYTES_MAX:
        raise BadHistoryError("larger than 64 MiB")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadHistoryError("not JSON") from None
    if not isinstance(found, dict) or not _is_record(found.get("session")) or not isinstance(found.get("log"), list):
        raise BadHistoryError('not a history: it needs "session", an object of texts, and "log", a list of them')
    if not all(_is_record(entry) for entry in found["log"]):
        raise BadHistoryError('not a history: each entry of "log" is an object of texts')
    entries = tuple(
        LogEntry(entry.get("entry", ""), {name: value for name, value in entry.items() if name != "entry"})
        for entry in found["log"]
    )
    return SessionHistory(dict(found["session"]), entries)


def _is_record(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def _addresses(then: Fields, now: Fields) -> Fields:
    """Who the parties were: the record as it is now knows each leg by its label, whatever it is called by now."""
    of_label = {
        now.get(f"party.{party}.label", ""): now.get(f"party.{party}.address", "") for party in wording.party_names(now)
    }
    found = {}
    for party in wording.party_names(then):
        if address := of_label.get(then.get(f"party.{party}.label", ""), ""):
            found[f"party.{party}.address"] = address
    if then.get("transfer.mode") and then.get("transfer.number") == now.get("transfer.number"):
        found["transfer.to"] = now.get("transfer.to", "")
    return found
