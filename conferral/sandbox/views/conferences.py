"""Views of conferences, numbers, pending faults, and time spent alone."""

from typing import Any

from conferral.sandbox.http import pick
from conferral.sandbox.runtime import SandboxRuntime
from conferral.sandbox.views.phones import name_of, phone_of

CONFERENCES_MAX = 50


def number_views(sandbox: SandboxRuntime) -> list[dict[str, str]]:
    """Return the numbers and browser applications, but no SIP domains."""
    return [
        {"number": it.number, "name": it.name, "application": it.application_sid, "voice_url": it.voice_url}
        for it in sandbox.model.state.numbers.values()
        if not it.is_sip_domain
    ]


def conference_views(sandbox: SandboxRuntime) -> list[dict[str, Any]]:
    """Return the newest live conferences with their participants."""
    state = sandbox.model.state
    live = [state.conferences[sid] for sid in list(state.conference_sids.values())[-CONFERENCES_MAX:]]
    return [
        {
            **pick(conference, "sid", "name", "status"),
            "participants": [
                {
                    **pick(it, "call_sid", "label", "status", "muted", "coaching", "end_on_exit"),
                    "name": name_of(sandbox, phone_of(state.calls[it.call_sid])),
                    "hold": it.is_held,
                }
                for it in conference.participants.values()
            ],
        }
        for conference in live
        if conference.status != "completed"
    ]


def fault_view(sandbox: SandboxRuntime) -> dict[str, Any]:
    """Return the pending one-shot faults and the rates."""
    return {"to_come": sandbox.faults.pending_faults(), "rates": sandbox.faults.rates()}


def alone_time_view(sandbox: SandboxRuntime) -> dict[str, float]:
    """Return the seconds spent alone or in silence, and by how many legs."""
    tally, now_s = sandbox.model.alone_time, sandbox.now_s
    return {
        "in_conference_s": round(tally.in_conference.seconds(now_s), 3),
        "in_conference_now": len(tally.in_conference.since_s),
        "in_silence_s": round(tally.in_silence.seconds(now_s), 3),
        "in_silence_now": len(tally.in_silence.since_s),
    }
