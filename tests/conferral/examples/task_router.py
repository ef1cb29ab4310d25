"""A scripted stand-in for TaskRouter: the test reserves workers.

Source: Twilio docs: Lifecycle of a Task: Task state; Assigning Tasks to Workers; errors 40122, 40123; TaskRouter Events
reference. What Twilio answers to a refused update is our reading.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode
from urllib.request import Request, urlopen

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator

#: From which states a request may change a task.
ALLOWED = {"completed": {"assigned", "wrapping"}, "wrapping": {"assigned"}, "canceled": {"pending", "reserved"}}
OVER = {"completed", "canceled"}


@dataclass
class Task:
    sid: str
    attributes: dict[str, str]
    virtual_start_time: datetime | None
    status: str = "pending"
    reason: str = ""
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    def shown(self, *, in_list=False):
        return {
            "sid": self.sid,
            "workspace_sid": "WS1",
            "assignment_status": self.status,
            "attributes": None if in_list else json.dumps(self.attributes),
            "date_updated": shown_time(self.updated),
            "virtual_start_time": shown_time(self.virtual_start_time),
        }


def shown_time(at):
    """A time as the REST API shows it; it may be null."""
    return at and at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Reservation:
    sid: str
    task: Task
    answer: dict[str, object]
    status: str = "pending"
    error: int | None = None  #: TaskRouter's code, if it can't do what the app answered.


@dataclass
class TaskRouter:
    """One workspace, whose tasks are calls in the sandbox's queues."""

    stack: object
    twilio: object
    accepts: bool = True  #: Whether a redirect with `accept` does accept the reservation.
    tasks: dict[str, Task] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  #: Statuses by request, such as `POST Workers`.
    activities: dict[str, str] = field(default_factory=dict)  #: Of workers, as the app has set them.
    reservations: list[Reservation] = field(default_factory=list)

    def task_of(self, call):
        """The task that a call's `<Enqueue>` has created."""
        self.stack.sandbox.wait_until(lambda: call.activity == "enqueued")
        (task,) = call.record.queue_stay.verb.children
        attributes = json.loads(task.text) | {"call_sid": call.sid}
        began = datetime(2026, 11, 30, 9, tzinfo=UTC) + timedelta(minutes=len(self.tasks))
        created = Task(f"WT{len(self.tasks):032}", attributes, began)
        self.tasks[created.sid] = created
        self.post("/events", EventType="task.created", TaskSid=created.sid, TaskAttributes=json.dumps(attributes))
        return created

    def reserve(self, task, worker):
        """Reserve a worker for a task; the app has answered, and nothing follows yet."""
        task.status = "reserved"
        form = {
            "TaskSid": task.sid,
            "TaskAttributes": json.dumps(task.attributes),
            "WorkerSid": f"WK{worker.removeprefix('client:')}",
            "WorkerAttributes": json.dumps({"contact_uri": worker} if worker else {}),
        }
        reservation = Reservation(f"WR{len(self.reservations)}", task, json.loads(self.post("/assigned", **form)))
        self.reservations.append(reservation)
        return reservation

    def follow(self, reservation):
        """Do what the app answered."""
        answer = reservation.answer
        if answer["instruction"] == "reject":
            assert str(answer["activity_sid"]).startswith("WA")  # else error 40100
            reservation.status, reservation.task.status = "rejected", "pending"
        elif reservation.status != "pending":
            reservation.error = 40123
        else:
            try:
                self.twilio.calls(answer["call_sid"]).update(url=answer["url"])
            except TwilioRestException:
                reservation.error = 40122
                return reservation
            if answer["accept"] and self.accepts:
                self.accept(reservation)
        return reservation

    def accept(self, reservation):
        reservation.status, reservation.task.status = "accepted", "assigned"
        for other in self.reservations:
            if other.task is reservation.task and other.status == "pending":
                other.status = "rescinded"

    def assign(self, task, worker):
        return self.follow(self.reserve(task, worker))

    def time_out(self, reservation):
        """After 120 s by default; only a pending reservation times out."""
        assert reservation.status == "pending"
        reservation.status, reservation.task.status = "timeout", "pending"

    def cancel_abandoned(self):
        """Cancel the tasks of callers who hung up in the queue."""
        live = {call.sid for call in self.stack.sandbox.calls if call.is_live}
        for task in self.tasks.values():
            if task.status in ALLOWED["canceled"] and task.attributes["call_sid"] not in live:
                task.status, task.reason = "canceled", "hangup"
                for it in self.reservations:
                    if it.task is task and it.status == "pending":
                        it.status = "canceled"

    def post(self, path, **form):
        """Send the app a signed request."""
        url = self.stack.app_url + path
        signature = RequestValidator(self.stack.sandbox.auth_token).compute_signature(url, form)
        with urlopen(Request(url, urlencode(form).encode(), {"X-Twilio-Signature": signature})) as answer:
            return answer.read()

    def __call__(self, environ, start_response):
        """The part of the REST API that the example uses."""
        kind, *sids = environ["PATH_INFO"].split("/")[4:]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        text = environ["wsgi.input"].read(length).decode() or environ["QUERY_STRING"]
        form = {name: values[-1] for name, values in parse_qs(text).items()}
        status = self.refused.get(f"{environ['REQUEST_METHOD']} {kind}", "200 OK")
        body = {"code": 20001, "message": "refused"}
        if status == "200 OK":
            status, body = self.answer(kind, "".join(sids), form)
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def answer(self, kind, sid, form):
        """Return status and body."""
        if not sid:
            found = [it.shown(in_list=True) for it in self.tasks.values() if it.status == form["AssignmentStatus"]]
            assert form["WorkflowSid"] == "WW1"
            return "200 OK", {"tasks": found, "meta": {"key": "tasks"}}
        if kind == "Workers":
            assert form["RejectPendingReservations"]
            self.activities[sid] = form["ActivitySid"]
            return "200 OK", {}
        if (task := self.tasks.get(sid)) is None:
            return "404 Not Found", {}
        if (wanted := form.get("AssignmentStatus")) and task.status not in ALLOWED[wanted]:
            return "400 Bad Request", {"code": 20001, "message": f"it is {task.status}"}
        task.status, task.reason = wanted or task.status, form.get("Reason", task.reason)
        if since := form.get("VirtualStartTime"):
            task.virtual_start_time = datetime.fromisoformat(since)
        return "200 OK", task.shown()
