"""Conferences, numbers, faults to come, and time spent alone, as the page shows them."""

from __future__ import annotations

from typing import Any

from conferral.sandbox.switchboard import Switchboard
from conferral.sandbox.views.phones import at_the_phone, name_of

ROOMS_MAX = 50


def numbers(sandbox: Switchboard) -> list[dict[str, str]]:
    """What can be called: numbers, SIP addresses, and applications through which browsers call."""
    return [
        {"number": it.number, "name": it.name, "application": it.application_sid, "voice_url": it.voice_url}
        for it in sandbox.exchange.state.numbers.values()
    ]


def rooms(sandbox: Switchboard) -> list[dict[str, Any]]:
    """The newest conferences that have not ended, with who is in them or on the way there."""
    state = sandbox.exchange.state
    live = [state.conferences[sid] for sid in list(state.rooms.values())[-ROOMS_MAX:]]
    return [
        {
            "sid": room.sid,
            "name": room.name,
            "status": room.status,
            "participants": [
                {
                    "call_sid": it.call_sid,
                    "name": name_of(sandbox, at_the_phone(state.calls[it.call_sid])),
                    "label": it.label,
                    "status": it.status,
                    "muted": it.muted,
                    "hold": it.hold,
                    "coaching": it.coaching,
                    "end_on_exit": it.end_on_exit,
                }
                for it in room.participants.values()
            ],
        }
        for room in live
        if room.status != "completed"
    ]


def faults(sandbox: Switchboard) -> dict[str, Any]:
    """What is set to go wrong: single faults that are still to come, and rates."""
    return {
        "to_come": [{"number": it.number, "words": it.words, "count": it.count} for it in sandbox.faults.wishes()],
        "rates": sandbox.faults.rates(),
    }


def alone(sandbox: Switchboard) -> dict[str, float]:
    """Seconds that somebody was alone in a conference, or in silence; and for how many legs they run on now."""
    tally, now_s = sandbox.exchange.alone, sandbox.now_s
    return {
        "in_conference_s": round(tally.in_conference.seconds(now_s), 3),
        "in_conference_now": len(tally.in_conference.since_s),
        "in_silence_s": round(tally.in_silence.seconds(now_s), 3),
        "in_silence_now": len(tally.in_silence.since_s),
    }
