"""Fields that a voice request has more than once: which value is Twilio's.

A browser may send anything under any name, also under Twilio's, and its call must not be lost for that. Twilio doesn't
say in which order they arrive, and signs them sorted: so the signature shows no order, either. If the first value
counted, a browser could pose as another agent by a `From` of its own. A value must not count because of its place if it
decides who calls. Twilio sends `From` and `To` as `Caller` and `Called`, too. Source: Twilio docs, "TwiML for
Programmable Voice", request parameters; "Webhooks security".
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from conferral.telephony.callback_fields import CALL_SID
from conferral.webhooks.responses import RejectedError, Rejection


def voice_form(pairs: Sequence[tuple[str, str]], account_sid: str, *, is_new_call: bool) -> dict[str, str]:
    """Return a signed voice request's fields, each with one value.

    Raise RejectedError if it is unclear which call is new, or who calls: only a browser that pretends causes that. Of
    a known call, the first value counts.
    """
    form = dict(reversed(pairs))
    if len(form) == len(pairs):
        return form
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in dict.fromkeys(pairs):
        values[name].append(value)
    for name in [name for name, several in values.items() if len(several) > 1]:
        candidates = _candidates(name, values, account_sid)
        if len(candidates) > 1 and is_new_call:
            raise RejectedError(400, Rejection.REPEATED_FIELD)
        form[name] = candidates[0]
    return form


def _candidates(name: str, values: Mapping[str, Sequence[str]], account_sid: str) -> Sequence[str]:
    """Return which of several values may be Twilio's; at least one."""
    several = values[name]
    first = several[:1]
    match name:
        case "From":
            return list(filter(None, values.get("Caller", ()))) or list(filter(None, several))[:1]
        case "To":  # a browser may choose any
            called = list(filter(None, values.get("Called", ())))
            return called if len(called) == 1 else list(filter(None, several))[:1]
        case "CallSid":
            return list(filter(CALL_SID.fullmatch, several)) or first
        case "AccountSid" if account_sid in several:
            return [account_sid]
        case "Direction" if "inbound" in several:  # a browser's call comes in
            return ["inbound"]
    return first
