"""When someone was on the line alone, by the sandbox's calls."""

from collections.abc import Iterable

from offhook.model.state import Call

#: Its two ends, seconds of the sandbox's clock.
Span = tuple[float, float]


def alone(call: Call, together: Iterable[Call], now_s: float) -> list[Span]:
    """When someone was on the line and no one else of the session was, nor was anyone rung."""
    since_s = call.created_at_s if call.direction == "inbound" else call.answered_at_s
    if since_s is None:
        return []
    spans = [(since_s, _end_s(call, now_s))]
    for other in together:
        if other is not call:
            taken = (other.created_at_s, _end_s(other, now_s))
            spans = [rest for span in spans for rest in _without(span, taken)]
    return spans


def _end_s(call: Call, now_s: float) -> float:
    return now_s if call.ended_at_s is None else call.ended_at_s


def _without(span: Span, taken: Span) -> list[Span]:
    parts = [(span[0], min(span[1], taken[0])), (max(span[0], taken[1]), span[1])]
    return [part for part in parts if part[0] < part[1]]
