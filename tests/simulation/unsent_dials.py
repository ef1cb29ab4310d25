"""Gated dials that were reported as unknown although nothing explains it."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from conferral.statemachine.effects import CreateCall
from conferral.storage.codecs.text_codec import from_iso

#: By how much the times of a log may differ from the world's, seconds.
CLOCKS_APART_S = 2.0


def unsent_dials(entries: Iterable[Mapping[bytes, bytes]], restarts: Iterable[float]) -> Iterator[str]:
    """The gated dials of a log whose outcome is unknown, though Redis was there from their decision to that."""
    decided: dict[str, float] = {}
    for fields in entries:
        at_s = from_iso(fields[b"at"].decode()) / 1000
        for effect in msgspec.json.decode(fields.get(b"effects", b"[]")):
            if effect["kind"] == CreateCall.kind:
                decided[effect["id"]] = at_s
        dial_id = fields.get(b"effect", b"").decode()
        if fields[b"event"] == b"effect_unknown" and dial_id in decided:
            began_s = decided[dial_id] - CLOCKS_APART_S
            if not any(began_s <= one <= at_s + CLOCKS_APART_S for one in restarts):
                yield dial_id
