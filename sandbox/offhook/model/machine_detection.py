"""Answering machine detection of a dialed leg.

That of a participant, and of a `<Number>` or `<Sip>`, is in the background.

What answered is known from its phone's kind. Source: Twilio docs: Answering Machine Detection; Call resource.
"""

from dataclasses import dataclass

from offhook.model import calls
from offhook.model.behavior import Behavior
from offhook.model.messages import Params, PhoneKind
from offhook.model.state import Call, Detection
from offhook.model.transaction import Transaction

NO_CALLBACK = 21262  #: Twilio's warning: no AMD status callback URL.


@dataclass(frozen=True, slots=True)
class _Result:
    answered_by: str
    after_s: float


def _result(detection: Detection, kind: PhoneKind, behavior: Behavior) -> _Result:
    """Return what is found out, and how long that takes."""
    silence_s = behavior.detect_silence_s if detection.silence_s is None else detection.silence_s
    match kind:
        case "person":
            found = _Result("human", behavior.detect_person_s)
        case "silent-person":
            found = _Result("unknown", silence_s)
        case "fax":
            found = _Result("fax", behavior.detect_machine_s)
        case "mailbox-with-beep" if detection.waits_for_end:
            found = _Result("machine_end_beep", behavior.greeting_s)
        case "mailbox" if detection.waits_for_end:
            found = _Result("machine_end_silence", behavior.greeting_s)
        case "mailbox" | "mailbox-with-beep":
            found = _Result("machine_start", behavior.detect_machine_s)
        case "screened-person":  # our reading: its phone speaks
            found = _Result(
                "machine_end_other" if detection.waits_for_end else "machine_start", behavior.detect_machine_s
            )
    return found if found.after_s <= detection.timeout_s else _Result("unknown", detection.timeout_s)


def can_test(call: Call) -> bool:
    """Whether a machine may answer: browsers aren't tested."""
    return not call.to.startswith("client:")


def start(transaction: Transaction, call: Call, detection: Detection) -> None:
    """Begin with the answer; the TwiML waits unless it is asynchronous."""
    if not detection.in_background:
        call.activity = "detecting"
    elif detection.subscription is None:
        transaction.add_debugger_entry(NO_CALLBACK, "No AMD status callback URL provided", call.sid)
    transaction.set_timer(call.sid, "detection", _result(detection, call.phone_kind, transaction.behavior).after_s)


def finish(transaction: Transaction, call: Call, detection: Detection) -> Params:
    """Keep the result, report it, and return what the request for TwiML says."""
    result = _result(detection, call.phone_kind, transaction.behavior)
    call.answered_by = result.answered_by
    if detection.in_background and detection.subscription is not None:
        form = (
            ("CallSid", call.sid),
            ("AccountSid", transaction.state.account_sid),
            ("AnsweredBy", call.answered_by),
            ("MachineDetectionDuration", str(int(result.after_s * 1000))),
        )
        calls.emit_callback(transaction, detection.subscription, "call", "machine-detection", form)
    return (("AnsweredBy", call.answered_by),)
