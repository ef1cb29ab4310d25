"""Erasure of an ended or damaged session (`conferral forget`).

It bypasses the worker, which may not run. One script compares the session's version, as each commit does, and removes
the partition's keys. A worker that decides meanwhile has changed the version, or its commit conflicts.

Keys elsewhere are removed afterwards, the index of its calls last. So a repetition after a crash, by the session's id
or one of its calls, finds what is left.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.session_codec import CorruptHashError, load
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import CHUNK, Client, read_stream, run_each, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.dead_letters import DeadLetterStore

#: A SID of a call or conference, also inside other text.
_SID = re.compile(r"\bC[AF][0-9a-f]{32}\b")
_RECORDING_SID = re.compile(r"\bRE[0-9a-f]{32}\b")
#: A phone number, and digits that may be one in text that can't be parsed.
_NUMBER, _DIGITS = re.compile(r"\+([0-9]{7,15})(?![0-9])"), re.compile(r"(?<![0-9])[0-9]{7,15}(?![0-9])")
#: Fields of a command's hash that identify session, request, or sender. That the id was used stays recorded.
_ERASED_COMMAND_FIELDS = ("session", "reason", "digest", "by")


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What Redis holds about a session; contains no phone numbers."""

    session_id: str
    #: Empty if the session's hash is already gone.
    version: str
    is_live: bool
    #: Whether workers can't load it. Then it never ends, and may be erased while live.
    is_damaged: bool = False
    #: Unfinished work that still needs the session, in words; empty if there is none.
    pending_work: str = ""
    #: When the session ended, Unix milliseconds; 0 if unknown.
    ended_at_ms: int = 0
    log_entries: int = 0
    gates: int = 0
    calls: tuple[str, ...] = ()
    #: Keys of the command hashes that name it.
    commands: tuple[str, ...] = field(default=(), repr=False)
    outcomes: tuple[str, ...] = ()
    #: SIDs of its calls and conferences, and of the recordings that Redis names: Twilio may have more.
    legs: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    #: Ids of dead letters that name it or one of its calls, or hold one of its phone numbers.
    dead_letters: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of items by kind."""
        return {
            "session": int(bool(self.version)),
            "log_entries": self.log_entries,
            "gates": self.gates,
            "calls": len(self.calls),
            "commands": len(self.commands),
            "outcomes": len(self.outcomes),
            "dead_letters": len(self.dead_letters),
        }


class SessionEraser:
    """Finds and removes a session's data. Methods may raise StoreError.

    A search scans all call and command keys: about 4 s with 100,000 calls and 50,000 commands.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def find(self, session_id: str) -> ErasureReport:
        """Return what Redis holds about a session; writes nothing."""
        keys, partition = self._keys, self._keys.partition_of(session_id)
        reads = (
            ("HGETALL", keys.session(session_id)),
            ("XLEN", keys.log(session_id)),
            ("HGETALL", keys.gates(session_id)),
            ("SISMEMBER", keys.live(partition), session_id),
            ("ZSCORE", keys.ended(partition), session_id),
        )
        fields_raw, log_entries, gates, is_live, ended_ms = await run_each(self._client, reads)
        fields, gates = decode_fields(fields_raw or {}), gates or {}
        calls = tuple(dict.fromkeys([sid async for sid in self._calls_of(session_id)]))
        names = {session_id, *calls, *_sids_of(fields), *_sids_in(decode_fields(gates).values())}
        outcomes = {
            one: decode_fields(entry)
            async for one, entry in read_stream(self._client, keys.outcomes)
            if _names_session(entry, {session_id})
        }
        numbers = _numbers_of(fields, outcomes.values())
        legs = {*calls, *_sids_of(fields)}
        return ErasureReport(
            session_id=session_id,
            version=fields.get("version", ""),
            is_live=bool(is_live) or fields.get("state", State.ENDED) != State.ENDED,
            is_damaged=_is_damaged(session_id, fields_raw),
            pending_work=await self._pending_work(session_id, names),
            ended_at_ms=int(ended_ms or 0),
            log_entries=int(log_entries or 0),
            gates=len(gates),
            calls=calls,
            commands=tuple(dict.fromkeys([key async for key in self._commands_of(names)])),
            outcomes=tuple(outcomes),
            legs=tuple(sorted(legs)),
            recordings=tuple(sorted(_recordings_of(fields, outcomes.values()))),
            dead_letters=tuple([one async for one in self._letters_of(names, numbers)]),
        )

    async def erase(self, report: ErasureReport) -> bool:
        """Remove what is listed; return False if the session has changed."""
        keys, session_id = self._keys, report.session_id
        partition = keys.partition_of(session_id)
        partition_keys = [
            keys.session(session_id), keys.log(session_id), keys.gates(session_id), keys.live(partition),
            keys.ended(partition),
        ]  # fmt: skip
        arguments: list[str | int] = [session_id, report.version, int(report.is_damaged)]
        if not int(await scripts.erase_session(self._client, partition_keys, arguments)):
            return False
        await DeadLetterStore(self._client, keys).remove(report.dead_letters)
        await run_each(
            self._client,
            [
                *(("XDEL", keys.outcomes, entry_id) for entry_id in report.outcomes),
                *(("ZREM", keys.undelivered, entry_id) for entry_id in report.outcomes),
                *(("HDEL", key, *_ERASED_COMMAND_FIELDS) for key in report.commands),
                ("DEL", keys.call_dials(call_of_visit(session_id) or session_id)),
            ],
        )
        await run_each(self._client, [("DEL", keys.call(call_sid)) for call_sid in report.calls])
        return True

    async def _pending_work(self, session_id: str, names: set[str]) -> str:
        """Describe the session's unfinished work; empty if there is none."""
        # In the order in which work flows; a decision made in between changes the session's version.
        partition = self._keys.partition_of(session_id)
        async for _, entry in read_stream(self._client, self._keys.commands):
            if _names_session(entry, names):
                return "one of its commands has not been processed yet"
        with store_errors(key := self._keys.outbox(partition)):
            outbox = await self._client.hgetall(key)
        if any(_is_unfinished_work_of(session_id, body) for body in outbox.values()):
            return "one of its requests is still pending, such as a hang-up that Twilio has not confirmed"
        async for _, entry in read_stream(self._client, self._keys.events(partition)):
            if _names_session(entry, names):
                return "one of its events has not been processed yet"
        return ""

    async def _calls_of(self, session_id: str) -> AsyncIterator[str]:
        async for key, found in self._scan("GET", self._keys.call("*")):
            if found == session_id.encode():
                yield key.removeprefix(self._keys.call(""))

    async def _commands_of(self, names: set[str]) -> AsyncIterator[str]:
        async for key, found in self._scan("HMGET", self._keys.command("*"), "session", "reason"):
            session, reason = ((one or b"").decode(errors="replace") for one in found or (b"", b""))
            if session in names or names & set(_SID.findall(reason)):
                yield key

    async def _letters_of(self, names: set[str], numbers: set[str]) -> AsyncIterator[str]:
        async for letter in DeadLetterStore(self._client, self._keys).newest_first():
            texts = letter.decoded_fields().values()
            if _names_session(letter.fields, names) or names & _sids_in(texts) or numbers & _digits_in(texts):
                yield letter.letter_id

    async def _scan(self, read: str, pattern: str, *arguments: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield keys with what they hold; a migrating key may appear twice."""
        with store_errors():
            names = [key.decode(errors="replace") async for key in self._client.scan_iter(match=pattern, count=CHUNK)]
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            answers = await run_each(self._client, [(read, name, *arguments) for name in some])
            for name, answer in zip(some, answers, strict=True):
                yield name, answer


def _is_damaged(session_id: str, fields: Mapping[bytes, bytes] | None) -> bool:
    if fields is None:  # another Redis type
        return True
    try:
        load(session_id, fields)
    except CorruptHashError:
        return True
    return False


def _names_session(entry: Mapping[bytes, bytes], names: set[str]) -> bool:
    return entry.get(b"session", b"").decode(errors="replace") in names


def _is_unfinished_work_of(session_id: str, body: bytes) -> bool:
    try:
        entry = effect_codec.decode(body)
    except BadEntryError:
        return False
    return entry is not None and entry.work.session_id == session_id


def _sids_of(fields: Mapping[str, str]) -> set[str]:
    own = ("conference_sid", "former_calls", "former_conferences")
    return _sids_in(text for name, text in fields.items() if name in own or name.endswith(".call_sid"))


def _recordings_of(fields: Mapping[str, str], outcomes: Iterable[Mapping[str, str]]) -> set[str]:
    texts = [fields.get(name, "") for name in ("recording.sid", "voicemail")]
    texts += [outcome.get(name, "") for outcome in outcomes for name in ("recording_sid", "recordings")]
    return {sid for text in texts for sid in _RECORDING_SID.findall(text)}


def _sids_in(texts: Iterable[str]) -> set[str]:
    return {sid for text in texts for sid in _SID.findall(text)}


def _numbers_of(fields: Mapping[str, str], outcomes: Iterable[Mapping[str, str]]) -> set[str]:
    """Return the numbers of parties and transfer targets, as bare digits."""
    texts = [text for name, text in fields.items() if name.endswith(".address") or name == "transfer.to"]
    texts += [outcome.get(name, "") for outcome in outcomes for name in ("to", "landed_on", "attempts")]
    return {number for text in texts for number in _NUMBER.findall(text)}


def _digits_in(texts: Iterable[str]) -> set[str]:
    # An unreadable entry may hold a number in any spelling, such as %2B14155550123.
    return {digits for text in texts for digits in _DIGITS.findall(text.replace("%2B", "+"))}
