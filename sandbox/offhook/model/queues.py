"""`<Enqueue>`: a caller waits in a queue that no one serves.

There is neither a `<Dial><Queue>` nor a TaskRouter: a caller leaves by `<Leave>`, by a request, or by hanging up.
Source: Twilio docs: TwiML <Enqueue>; TwiML <Leave>.
"""

from offhook.model import calls
from offhook.model.formats import make_sid, resolve
from offhook.model.messages import Params
from offhook.model.state import Call, QueueStay, Source, TwimlProgram
from offhook.model.transaction import Transaction
from offhook.model.twiml_parser import Verb


def enqueue(transaction: Transaction, call: Call, verb: Verb, program: TwimlProgram) -> None:
    """Let the call wait; it hears Twilio's music unless it has a `waitUrl`.

    The document of a `waitUrl` answers the call (TwiML changelog).
    """
    if not verb.get("waitUrl"):
        calls.answer(transaction, call)
    queue_sid = make_sid("QU", verb.text or verb.get("workflowSid"), 0)
    call.queue_stay = QueueStay(verb, program, queue_sid, transaction.now_s)
    call.activity = "enqueued"
    request_wait_document(transaction, call, call.queue_stay)


def request_wait_document(transaction: Transaction, call: Call, stay: QueueStay) -> None:
    """Request the `waitUrl`; an empty document must not loop tightly."""
    if not stay.verb.get("waitUrl"):
        return
    pause_s = stay.requested_at_s + transaction.behavior.wait_document_pause_s - transaction.now_s
    if pause_s > 0:
        call.activity = "pausing"
        transaction.set_timer(call.sid, "verb", pause_s)
        return
    stay.requested_at_s = transaction.now_s
    call.activity = "fetching"
    call.generation += 1
    url, method = resolve(stay.program.base_url, stay.verb.get("waitUrl")), stay.verb.get("waitUrlMethod", "POST")
    transaction.fetch(call, Source(url, method.upper()), "program", _wait_parameters(transaction, stay))


def _wait_parameters(transaction: Transaction, stay: QueueStay) -> Params:
    """Return what a request for the wait document says of the queue."""
    stays = [one for sid in transaction.state.live_calls if (one := transaction.state.calls[sid].queue_stay)]
    waited_s = [transaction.now_s - one.since_s for one in stays if one.queue_sid == stay.queue_sid]
    own_s = transaction.now_s - stay.since_s
    return (
        ("QueueSid", stay.queue_sid),
        ("QueuePosition", str(1 + sum(one_s > own_s for one_s in waited_s))),
        ("QueueTime", str(int(own_s))),
        ("AvgQueueTime", str(int(sum(waited_s) / len(waited_s)))),
        ("CurrentQueueSize", str(len(waited_s))),
        ("MaxQueueSize", "1000"),  # Twilio's default; the model refuses no one
    )


def leave_queue(transaction: Transaction, call: Call, stay: QueueStay, result: str) -> None:
    """Leave the queue: request the action, or run the verb after `<Enqueue>`.

    After a request (`redirected`), the call's new TwiML follows, whatever the action answers.
    """
    call.queue_stay, call.program = None, stay.program
    transaction.stop_timer(call.sid, "verb")
    queue_time = str(int(transaction.now_s - stay.since_s))
    extra = (("QueueResult", result), ("QueueSid", stay.queue_sid), ("QueueTime", queue_time))
    has_action = stay.verb.has("action")
    if has_action or result != "redirected":
        transaction.end_verb(call, stay.verb, stay.program.base_url, extra if has_action else None)
