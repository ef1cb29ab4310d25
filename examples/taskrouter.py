"""Keep TaskRouter: it chooses the worker, and Conferral connects the caller.

At Twilio, the number's voice URL is this app's /inbound, the workflow's assignment callback /assigned, and the
workspace's event callback /events, with `task.created`. Needs APP_URL and VOICE_URL (Conferral's), TWILIO_ACCOUNT_SID,
TWILIO_AUTH_TOKEN, WORKSPACE_SID, WORKFLOW_SID, AVAILABLE_SID and AWAY_SID (two activities), CONFERRAL_API_TOKEN (one
that may `read`), CONFERRAL_OUTCOMES_SECRET, and `pip install flask twilio standardwebhooks`. Conferral needs
CONFERRAL_OUTCOMES_URL=APP_URL/outcomes and CONFERRAL_RETURN_URLS=APP_URL/unanswered. Run it with
`flask --app examples/taskrouter.py run`, and every few minutes `flask --app examples/taskrouter.py sweep`.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flask import Flask, Response, abort, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

APP_URL, VOICE_URL = os.environ["APP_URL"], os.environ["VOICE_URL"]
VALIDATOR = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
#: Twilio waits up to 15 s for this app's answer, in which it makes two requests.
HTTP = TwilioHttpClient(timeout=3)
TWILIO = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"], http_client=HTTP)
#: What a finished call's task becomes; after `wrapping`, the worker's page completes it.
AFTER_CALL = os.environ.get("AFTER_CALL", "completed")
#: Why a call comes back if the worker, not Conferral or a limit, is the reason.
UNAVAILABLE = {"no-answer", "busy", "away", "rejected", "no-confirmation"}
#: After this time without a session, an assigned task is over.
SWEEP_AFTER = timedelta(minutes=5)

app = Flask(__name__)


def workspace() -> Any:
    """Return the workspace at Twilio."""
    return TWILIO.taskrouter.v1.workspaces(os.environ["WORKSPACE_SID"])


@app.before_request
def refuse_unsigned_requests() -> None:
    """Accept requests of Twilio, and Conferral's outcomes, only."""
    if request.path == "/outcomes":
        return
    url, signature = APP_URL + request.full_path.removesuffix("?"), request.headers.get("X-Twilio-Signature", "")
    if not VALIDATOR.validate(url, request.form, signature):
        abort(403)


@app.post("/inbound")
def inbound() -> Response:
    """Let the caller wait for a worker."""
    return enqueue({"type": "inbound"})


def enqueue(attributes: dict[str, str]) -> Response:
    """Return TwiML that creates a task; TaskRouter adds `call_sid` and more."""
    answer = VoiceResponse()
    answer.enqueue(None, workflow_sid=os.environ["WORKFLOW_SID"]).task(json.dumps(attributes))
    return Response(str(answer), content_type="text/xml")


@app.post("/assigned")
def assigned() -> dict[str, Any]:
    """Hand the caller over to a reserved worker, unless that has happened.

    A reservation that was not accepted times out, and TaskRouter offers a caller who talks to the next worker.
    """
    call_sid = json.loads(request.form["TaskAttributes"]).get("call_sid")
    address = json.loads(request.form["WorkerAttributes"]).get("contact_uri")
    if not address:  # away, or TaskRouter would choose this worker again
        app.logger.error("worker %s has no contact_uri", request.form["WorkerSid"])
        return {"instruction": "reject", "activity_sid": os.environ["AWAY_SID"]}
    if not call_sid:
        app.logger.error("task %s has no call_sid", request.form["TaskSid"])
    if not call_sid or live_refs(call_sid):
        return {"instruction": "reject", "activity_sid": os.environ["AVAILABLE_SID"]}
    options = {
        "to": address,
        "ref": request.form["TaskSid"],
        "back": f"{APP_URL}/unanswered?{urlencode({'worker': request.form['WorkerSid']})}",
    }
    url = f"{VOICE_URL}/voice/handoff?{urlencode(options)}"
    return {"instruction": "redirect", "call_sid": call_sid, "url": url, "accept": True}


def live_refs(call_sid: str) -> list[str | None]:
    """Return the `ref` of each live session that has the call."""
    headers = {"Authorization": f"Bearer {os.environ['CONFERRAL_API_TOKEN']}"}
    ask = Request(f"{VOICE_URL}/sessions?party={call_sid}", headers=headers)  # noqa: S310  # Conferral's own URL
    with urlopen(ask, timeout=5) as answer:  # noqa: S310
        return [session["ref"] for session in json.load(answer)["sessions"]]


@app.post("/unanswered")
def unanswered() -> Response:
    """Queue a caller again, whatever TaskRouter refuses; set their worker away.

    The next task names the time at which the first one began, for `created`. The outcome completes the first.
    """
    since = ""
    try:
        began = workspace().tasks(request.args.get("ref", "")).fetch().virtual_start_time
        since = began.isoformat() if began else ""
    except (TwilioException, OSError):  # they go to the end of the queue
        app.logger.exception("the caller loses their place")
    if request.args.get("reason") in UNAVAILABLE:
        worker = workspace().workers(request.args.get("worker", ""))
        try:
            worker.update(activity_sid=os.environ["AWAY_SID"], reject_pending_reservations=True)
        except (TwilioException, OSError):  # TaskRouter may offer the next task to the same worker
            app.logger.exception("the worker stays available")
    return enqueue({"type": "inbound", "since": since})


@app.post("/events")
def created() -> tuple[str, int]:
    """Give the task of a caller who was queued before the place that they had.

    TwiML has no attribute for that.
    """
    since = json.loads(request.form.get("TaskAttributes", "{}")).get("since")
    if request.form["EventType"] == "task.created" and since:
        workspace().tasks(request.form["TaskSid"]).update(virtual_start_time=datetime.fromisoformat(since))
    return "", 204


@app.post("/outcomes")
def ended() -> tuple[str, int]:
    """End the task of a call whose session has ended."""
    try:
        event = Webhook(os.environ["CONFERRAL_OUTCOMES_SECRET"]).verify(request.data, dict(request.headers))
    except WebhookVerificationError:
        return "", 400
    outcome = event["data"]
    if event["type"] != "session.ended" or not outcome["ref"]:
        return "", 204
    # A call that was moved may be handed over again in a moment: if it is not, `sweep` completes its task.
    if outcome["reason"] == "moved":
        return "", 204
    # One that came back has another task.
    if outcome["ref"] not in live_refs(outcome["session"].partition("-")[0]):
        results = [attempt["result"] for attempt in outcome["attempts"]]
        if "answered" in results:
            finish(outcome["ref"], AFTER_CALL, outcome["reason"])
        else:
            came_back = outcome["reason"] == "returned" and results
            finish(outcome["ref"], "completed", results[-1] if came_back else outcome["reason"])
    return "", 204


def finish(task_sid: str, status: str, reason: str) -> None:
    """End an assigned task, or cancel one that waits for a worker again.

    Twilio refuses both for a task that is over, such as that of a caller who hung up in the queue.
    """
    for ends_as in (status, "canceled"):
        try:
            workspace().tasks(task_sid).update(assignment_status=ends_as, reason=reason)
        except TwilioRestException as error:
            if error.status not in (400, 404, 409):  # such as too many requests: the outcome is sent again
                raise
        else:
            return


@app.cli.command("sweep")
def sweep() -> None:
    """Complete the tasks of calls without a session, and so without an outcome.

    The caller hung up on the way to Conferral, for example.
    """
    for task in workspace().tasks.list(assignment_status=["assigned"], workflow_sid=os.environ["WORKFLOW_SID"]):
        if task.date_updated and task.date_updated < datetime.now(UTC) - SWEEP_AFTER:
            call_sid = json.loads(task.fetch().attributes).get("call_sid")  # lists are without attributes
            if call_sid and not live_refs(call_sid):
                finish(task.sid, "completed", "no session")
