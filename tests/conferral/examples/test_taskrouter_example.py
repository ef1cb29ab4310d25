"""The example that keeps TaskRouter, with a stand-in for it (docs/from-a-queue.md)."""

from dataclasses import dataclass, replace

import pytest

from conferral.testing.app_server import AppAddress
from tests.conferral.examples.task_router import OVER, TaskRouter
from tests.conferral.examples.test_handoff_examples import APP_URL, load
from tests.support.people import BOB

pytestmark = pytest.mark.redis


@dataclass
class CallCenter:
    """Everything between the caller and the workers."""

    stack: object
    router: TaskRouter
    example: object

    def __post_init__(self):
        self.sandbox = self.stack.sandbox
        self.alice, self.bob = self.sandbox.phones[self.stack.agent], self.sandbox.phones[BOB]

    def call(self):
        """A caller in the queue, and their task."""
        caller = self.stack.call("/inbound")
        return caller, self.router.task_of(caller)

    def talking(self):
        """A caller, their task, and its reservation; alice has answered."""
        self.alice.script(answer_after_s=1)
        caller, task = self.call()
        reservation = self.router.assign(task, self.stack.agent)
        self.sandbox.wait_until(lambda: caller.hears(self.alice))
        return caller, task, reservation

    def passes(self, seconds):
        """Let time pass at Twilio."""
        self.sandbox.run(lambda sandbox: sandbox.time.jump(sandbox.now_s + seconds))

    def until(self, task, status):
        self.sandbox.wait_until(lambda: task.status == status, timeout_s=60)  # an outcome may be sent again


@pytest.fixture
def center(conferral_stack, twilio_client, monkeypatch):
    with AppAddress() as twilio:
        names = {
            "TWILIO_ACCOUNT_SID": conferral_stack.sandbox.account_sid,
            "WORKSPACE_SID": "WS1",
            "WORKFLOW_SID": "WW1",
            "AVAILABLE_SID": "WA1",
            "AWAY_SID": "WA2",
            "CONFERRAL_API_TOKEN": conferral_stack.api_token,
            "CONFERRAL_OUTCOMES_SECRET": conferral_stack.outcomes.secret,
        }
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        example = load("taskrouter", monkeypatch, app_url=conferral_stack.app_url, voice_url=conferral_stack.url)
        router = TaskRouter(conferral_stack, twilio_client)
        twilio.serve(router)
        example.TWILIO.taskrouter.base_url = twilio.url
        conferral_stack.serve(example.app)
        conferral_stack.outcomes.deliver_to(f"{conferral_stack.app_url}/outcomes")
        yield CallCenter(conferral_stack, router, example)


def test_reserved_worker_gets_the_caller_and_the_outcome_completes_the_task(center):
    caller, task, reservation = center.talking()
    assert (reservation.status, task.status) == ("accepted", "assigned")

    caller.hang_up()
    center.until(task, "completed")
    assert task.reason == "customer-left"


def test_reservation_that_times_out_changes_nothing_for_the_call(center):
    center.router.accepts = False
    caller, task, reservation = center.talking()
    heard, calls = caller.sounds_heard, center.sandbox.calls

    center.passes(120)
    center.router.time_out(reservation)
    offered_again = center.router.assign(task, BOB)
    center.passes(60)
    assert offered_again.status == "rejected"
    assert caller.hears(center.alice)
    assert (caller.sounds_heard, center.sandbox.calls) == (heard, calls)  # nothing else, and no one else

    caller.hang_up()
    center.until(task, "canceled")  # it waits for a worker: TaskRouter completes only assigned tasks


def test_caller_whom_no_one_answers_waits_again_with_the_time_of_the_first_task(center):
    center.alice.script(outcome="busy")
    center.bob.script(answer_after_s=1)
    caller, first = center.call()
    center.router.assign(first, center.stack.agent)
    second = center.router.task_of(caller)
    center.until(first, "completed")
    assert (first.reason, center.router.activities) == ("busy", {"WKalice": "WA2"})

    assert second.virtual_start_time == first.virtual_start_time
    center.router.assign(second, BOB)
    center.sandbox.wait_until(lambda: caller.hears(center.bob))
    assert second.status == "assigned"  # the first session's outcome leaves it alone
    caller.hang_up()
    center.until(second, "completed")


def test_third_task_still_has_the_time_of_the_first(center):
    center.alice.script(outcome="busy")
    caller, first = center.call()
    center.router.assign(first, center.stack.agent)
    second = center.router.task_of(caller)
    center.router.assign(second, center.stack.agent)
    assert center.router.task_of(caller).virtual_start_time == first.virtual_start_time


@pytest.mark.parametrize(
    ("request_", "status"), [("POST Workers", "400 Bad Request"), ("GET Tasks", "429 Too Many Requests")]
)
def test_caller_whom_no_one_answers_waits_again_whatever_taskrouter_refuses(center, request_, status):
    center.alice.script(outcome="busy")
    caller, first = center.call()
    center.router.refused = {request_: status}
    center.router.assign(first, center.stack.agent)
    second = center.router.task_of(caller)
    center.until(first, "completed")
    assert (first.reason, second.status) == ("busy", "pending")
    assert (second.attributes["since"] == "") == (request_ == "GET Tasks")


def test_caller_waits_again_while_taskrouter_does_not_answer(center):
    center.alice.script(outcome="busy")
    caller, first = center.call()
    reservation = center.router.reserve(first, center.stack.agent)
    center.example.TWILIO.taskrouter.base_url = "http://127.0.0.1:1"  # no one listens
    center.router.follow(reservation)
    assert center.router.task_of(caller).attributes["since"] == ""


def test_task_that_is_gone_or_has_no_time_loses_only_its_place(center):
    center.alice.script(outcome="busy")
    caller, first = center.call()
    first.virtual_start_time = None
    center.router.assign(first, center.stack.agent)
    second = center.router.task_of(caller)
    assert second.attributes["since"] == ""

    reservation = center.router.reserve(second, center.stack.agent)
    del center.router.tasks[second.sid]
    center.router.follow(reservation)
    assert center.router.task_of(caller).attributes["since"] == ""


@pytest.mark.parametrize("reason", ["dial-limit", "failed", "unknown"])
def test_worker_who_is_not_the_reason_stays_available(center, reason):
    center.router.post(f"/unanswered?worker=WKalice&ref=WT0&reason={reason}")
    assert center.router.activities == {}


def test_first_outcome_may_come_while_the_second_worker_talks(center):
    center.alice.script(outcome="busy")
    center.bob.script(answer_after_s=1)
    caller, first = center.call()
    center.stack.outcomes.deliver_to("http://127.0.0.1:1")  # no one listens: the outcome is sent again
    center.router.assign(first, center.stack.agent)
    second = center.router.task_of(caller)
    center.router.assign(second, BOB)
    center.sandbox.wait_until(lambda: caller.hears(center.bob))
    assert first.status == "assigned"

    center.stack.outcomes.deliver_to(f"{center.stack.app_url}/outcomes")
    center.until(first, "completed")
    assert (first.reason, second.status) == ("busy", "assigned")


def test_old_task_without_a_session_is_completed(center):
    _, task = center.call()
    center.router.accept(center.router.reserve(task, center.stack.agent))  # and the caller doesn't reach Conferral
    sweep = center.example.app.test_cli_runner().invoke
    assert sweep(args=["sweep"]).exception is None
    assert task.status == "assigned"
    task.updated -= 2 * center.example.SWEEP_AFTER
    assert sweep(args=["sweep"]).exception is None
    assert (task.status, task.reason) == ("completed", "no session")


def test_worker_without_an_address_is_rejected_by_name_and_set_away(center, caplog):
    _, task = center.call()
    reservation = center.router.assign(task, "")
    assert (reservation.status, reservation.answer["activity_sid"]) == ("rejected", "WA2")
    assert "worker WK has no contact_uri" in caplog.text


def test_task_that_is_no_call_is_rejected_by_name_and_never_swept(center, caplog):
    _, call = center.call()
    chat = replace(call, sid="WTchat", attributes={"type": "chat"})
    center.router.tasks[chat.sid] = chat
    reservation = center.router.assign(chat, center.stack.agent)
    assert (reservation.status, reservation.answer["activity_sid"]) == ("rejected", "WA1")
    assert "task WTchat has no call_sid" in caplog.text

    for task in (chat, call):
        task.status, task.updated = "assigned", task.updated - 2 * center.example.SWEEP_AFTER
    assert center.example.app.test_cli_runner().invoke(args=["sweep"]).exception is None
    assert (chat.status, call.status) == ("assigned", "completed")


def test_old_task_of_a_call_that_goes_on_stays(center):
    _, task, _ = center.talking()
    task.updated -= 2 * center.example.SWEEP_AFTER
    assert center.example.app.test_cli_runner().invoke(args=["sweep"]).exception is None
    assert task.status == "assigned"


def test_worker_may_wrap_up_after_the_call(center, monkeypatch):
    monkeypatch.setattr(center.example, "AFTER_CALL", "wrapping")
    caller, task, _ = center.talking()
    caller.hang_up()
    center.until(task, "wrapping")

    center.example.finish(task.sid, "wrapping", "again")  # the outcome is sent again
    assert task.status == "wrapping"
    center.example.finish(task.sid, "completed", "notes taken")  # what the worker's page does
    assert task.status == "completed"


def test_rescinded_reservation_leaves_the_call_alone(center):
    center.alice.script(answer_after_s=1)
    caller, task = center.call()
    first, second = (center.router.reserve(task, it) for it in (center.stack.agent, BOB))
    assert second.answer["instruction"] == "redirect"  # no one has the call yet
    center.router.follow(first)
    assert (second.status, center.router.follow(second).error) == ("rescinded", 40123)
    center.sandbox.wait_until(lambda: caller.hears(center.alice))
    assert not center.bob.calls


def test_call_that_was_moved_and_handed_over_again_keeps_its_task(center):
    center.bob.script(answer_after_s=1)
    caller, task, reservation = center.talking()
    caller.move(url=reservation.answer["url"].replace("alice", "bob"))
    center.sandbox.wait_until(lambda: caller.hears(center.bob))
    assert center.stack.outcomes.next("session.ended").data["reason"] == "moved"
    assert task.status == "assigned"

    caller.hang_up()
    center.until(task, "completed")


def test_canceled_reservation_opens_no_session(center):
    caller, task = center.call()
    reservation = center.router.reserve(task, center.stack.agent)
    caller.hang_up()
    assert center.router.follow(reservation).error == 40122
    center.router.cancel_abandoned()
    assert (task.status, reservation.status) == ("canceled", "canceled")
    assert not center.example.live_refs(caller.sid)
    assert not center.alice.calls


def queued(_center, caller, _task):
    caller.hang_up()


def moving(center, caller, task):
    center.router.assign(task, center.stack.agent)
    caller.hang_up()


def ringing(center, caller, task):
    center.router.assign(task, center.stack.agent)
    center.sandbox.wait_until(lambda: center.alice.rings)
    caller.hang_up()


def talking(center, caller, task):
    center.alice.script(answer_after_s=1)
    center.router.assign(task, center.stack.agent)
    center.sandbox.wait_until(lambda: caller.hears(center.alice))
    caller.hang_up()


def queued_again(center, caller, task):
    center.alice.script(outcome="busy")
    center.router.assign(task, center.stack.agent)
    center.router.task_of(caller)
    caller.hang_up()


@pytest.mark.parametrize("moment", [queued, moving, ringing, talking, queued_again])
def test_caller_may_hang_up_at_any_moment(center, moment):
    caller, task = center.call()
    moment(center, caller, task)

    def all_over():
        center.router.cancel_abandoned()
        return not caller.is_live and all(it.status in OVER for it in center.router.tasks.values())

    center.sandbox.wait_until(all_over)
    assert all(not it.is_live for it in center.alice.calls)


def test_example_refuses_what_no_one_signed(center):
    client = center.example.app.test_client()
    assert client.post("/assigned", base_url=APP_URL, data={"TaskSid": "WT1"}).status_code == 403
    assert client.post("/outcomes", json={}).status_code == 400
