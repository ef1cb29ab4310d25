"""`<Enqueue>`: a caller waits in a queue.

They leave it by `<Leave>`, by a request, by hanging up, or because a `<Dial><Queue>` takes them.
Source: Twilio docs: TwiML <Enqueue>; TwiML <Leave>; TwiML <Queue>.
"""

from offhook.model import calls
from offhook.model.formats import make_sid, resolve
from offhook.model.messages import Params
from offhook.model.state import Call, Queue, QueueStay, Source, State, TwimlProgram
from offhook.model.transaction import Task, Transaction
from offhook.model.twiml_parser import Verb


def sid_of(name: str) -> str:
    """Return the SID of the queue with this name."""
    return make_sid("QU", name, 0)


def wait_s(state: State, call_sid: str, now_s: float) -> int:
    """Return how many whole seconds a member has waited."""
    stay = state.calls[call_sid].queue_stay
    return 0 if stay is None else int(now_s - stay.since_s)


def average_wait_s(state: State, queue: Queue, now_s: float) -> int:
    """Return how long those who wait now have waited, on average."""
    waited_s = [wait_s(state, sid, now_s) for sid in queue.members]
    return sum(waited_s) // len(waited_s) if waited_s else 0


def enqueue(transaction: Transaction, call: Call, verb: Verb, program: TwimlProgram) -> None:
    """Let the call wait; it hears Twilio's music unless it has a `waitUrl`.

    The document of a `waitUrl` answers the call (TwiML changelog). A full queue takes no one.
    """
    queue = queue_named(transaction, verb.text or verb.get("workflowSid"))
    if len(queue.members) >= queue.max_size:
        extra = (("QueueResult", "queue-full"), ("QueueSid", queue.sid), ("QueueTime", "0"))
        transaction.end_verb(call, verb, program.base_url, extra if verb.has("action") else None)
        return
    if not verb.get("waitUrl"):
        calls.answer(transaction, call)
    queue.members.append(call.sid)
    call.queue_stay = QueueStay(verb, program, queue.sid, transaction.now_s)
    call.activity = "enqueued"
    dialers = (transaction.state.calls[sid] for sid in transaction.state.live_calls)
    transaction.tasks.extend(
        Task("dequeue", it.sid) for it in dialers if it.dial is not None and it.dial.queue_sid == queue.sid
    )
    request_wait_document(transaction, call, call.queue_stay)


def queue_named(transaction: Transaction, name: str) -> Queue:
    """Return the queue with this name, a new one if there is none."""
    queues, sid = transaction.state.queues, sid_of(name)
    if sid not in queues:
        number = 1 + max((it.number for it in queues.values()), default=-1)
        queues[sid] = Queue(sid, name, transaction.now_s, number)
    return queues[sid]


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
    transaction.fetch(call, Source(url, method.upper()), "program", _wait_parameters(transaction, call, stay))


def _wait_parameters(transaction: Transaction, call: Call, stay: QueueStay) -> Params:
    """Return what a request for the wait document says of the queue."""
    state, now_s = transaction.state, transaction.now_s
    queue = state.queues[stay.queue_sid]
    return (
        ("QueueSid", queue.sid),
        ("QueuePosition", str(1 + queue.members.index(call.sid))),
        ("QueueTime", str(wait_s(state, call.sid, now_s))),
        ("AvgQueueTime", str(average_wait_s(state, queue, now_s))),
        ("CurrentQueueSize", str(len(queue.members))),
        ("MaxQueueSize", str(queue.max_size)),
    )


def take_front(transaction: Transaction, queue: Queue, dialer_sid: str) -> Call:
    """Take the one who has waited longest out, for a `<Dial><Queue>`."""
    call = transaction.call(queue.members.pop(0))
    assert call.queue_stay is not None  # as of all members
    call.queue_stay.dialer_sid, call.queue_stay.dequeued_at_s = dialer_sid, transaction.now_s
    call.program = call.gather = None
    call.generation += 1
    transaction.stop_timer(call.sid, "verb")
    return call


def stay_parameters(stay: QueueStay, now_s: float) -> Params:
    """Return what the requests at the end of a stay say of it."""
    until_s = now_s if stay.dequeued_at_s is None else stay.dequeued_at_s
    return (("QueueSid", stay.queue_sid), ("QueueTime", str(int(until_s - stay.since_s))))


def leave_queue(transaction: Transaction, call: Call, stay: QueueStay, result: str) -> None:
    """Leave the queue: request the action, or run the verb after `<Enqueue>`.

    After a request (`redirected`), the call's new TwiML follows, whatever the action answers.
    """
    call.queue_stay, call.program = None, stay.program
    transaction.stop_timer(call.sid, "verb")
    queue = transaction.state.queues.get(stay.queue_sid)  # None if it was deleted after a Dial took the call
    if queue is not None and call.sid in queue.members:
        queue.members.remove(call.sid)
    extra = (("QueueResult", result), *stay_parameters(stay, transaction.now_s))
    has_action = stay.verb.has("action")
    if has_action or not result.startswith("redirected"):
        transaction.end_verb(call, stay.verb, stay.program.base_url, extra if has_action else None)
