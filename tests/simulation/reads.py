"""When Twilio is asked: only while something is unsettled, and not too often."""

from collections.abc import Iterable, Mapping

import orjson

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import ReadOverdue
from conferral.storage.codecs.text_codec import from_iso

#: Most reads that one session requests in a minute (count).
READS_MAX = 12
_MINUTE_S = 60.0


def wrong_read_timer(record: Mapping[bytes, bytes]) -> str:
    """What is wrong with the timer of reads: it is set exactly while something is unsettled."""
    unsettled = list(orjson.loads(record.get(b"unsettled", b"{}")))
    is_set = ReadOverdue.timer in orjson.loads(record.get(b"timers", b"{}"))
    return "" if is_set == bool(unsettled) else f"timer of reads {is_set}, unsettled {unsettled}"


def most_reads_a_minute(entries: Iterable[Mapping[bytes, bytes]]) -> int:
    """How many reads a log has requested within a minute at most."""
    requested: list[float] = []
    most = 0
    for fields in entries:
        at_s = from_iso(fields[b"at"].decode()) / 1000
        kinds = [effect["kind"] for effect in orjson.loads(fields.get(b"effects", b"[]"))]
        requested = [one for one in requested if at_s - one < _MINUTE_S] + [at_s] * kinds.count(ReadCalls.kind)
        most = max(most, len(requested))
    return most
