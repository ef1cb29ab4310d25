"""When Twilio is asked: only while something is unsettled, and not too often."""

from collections.abc import Iterable, Mapping

import msgspec

from conferral.statemachine.effects import CreateCall, CreateParticipant, ReadCalls
from conferral.statemachine.events import COMMANDS, ReadOverdue
from conferral.storage.codecs.text_codec import from_iso

#: Most reads that one session requests in a minute; each dial and loss of Redis may lead to one more, and each command
#: to two, as most change two participants (count). Worlds with lost callbacks show up to 14.
READS_MAX = 15
READS_OF_COMMAND = 2
_MINUTE_S = 60.0
_COMMANDS = frozenset(command.name.encode() for command in COMMANDS)
_DIALS = (CreateCall.kind, CreateParticipant.kind)


def wrong_read_timer(record: Mapping[bytes, bytes]) -> str:
    """What is wrong with the timer of reads: it is set exactly while something is unsettled."""
    unsettled = list(msgspec.json.decode(record.get(b"unsettled_since_ms", b"{}")))
    is_set = ReadOverdue.timer in msgspec.json.decode(record.get(b"timers", b"{}"))
    return "" if is_set == bool(unsettled) else f"timer of reads {is_set}, unsettled {unsettled}"


def too_many_reads(entries: Iterable[Mapping[bytes, bytes]]) -> str:
    """What is wrong with how often a session, by its log, has asked Twilio."""
    reads: list[float] = []
    others: list[float] = []
    for fields in entries:
        at_s = from_iso(fields[b"at"].decode()) / 1000
        kinds = [effect["kind"] for effect in msgspec.json.decode(fields.get(b"effects", b"[]"))]
        reads = [one for one in reads if at_s - one < _MINUTE_S] + [at_s] * kinds.count(ReadCalls.kind)
        is_loss = b'"writes-lost"' in fields.get(b"details", b"")
        more = is_loss + READS_OF_COMMAND * (fields[b"event"] in _COMMANDS) + sum(map(kinds.count, _DIALS))
        others = [one for one in others if at_s - one < _MINUTE_S] + [at_s] * more
        if len(reads) > READS_MAX + len(others):
            return f"{len(reads)} reads within a minute, but its commands, dials, and losses allow {len(others)} more"
    return ""
