"""`explain` and `replay`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conferral.statemachine.events import ConvertOverdue
from conferral.statemachine.session import Session
from tests.conferral.cli_helpers import KEYS, put
from tests.statemachine.scenario import CUSTOMER_CALL, Scenario
from tests.statemachine.transfer_scenarios import dialing, talking
from tests.support.sample_logs import recorded

pytestmark = pytest.mark.redis
Run = Callable[..., Any]


def store(redis: Any, play: Callable[[], Scenario]) -> Session:
    """A session with the log of how it came to stand so."""
    log, sessions = recorded(play)
    put(redis, sessions[-1], log=[entry.fields for entry in log])
    return sessions[-1]


def busy() -> Scenario:
    return dialing("consult").later(2_000).call("target", "busy").confirms("customer", "agent")


@pytest.fixture
def busy_call(redis: Any) -> Session:
    return store(redis, busy)


def completed() -> Scenario:
    return talking("consult").later(5).complete().leaves("agent").confirms("customer", "target")


# ---- explain -------------------------------------------------------------------------------------------------------


def test_explain_says_what_failed_and_what_helps(run: Run, busy_call: Session) -> None:
    ran = run("explain", CUSTOMER_CALL)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"session         {CUSTOMER_CALL}\n\nIn conference (connected) for ")
    assert "Customer +…23 and agent client:alice are talking.\n" in ran.out
    assert "First failure\n  00:16:42 UTC  target was busy\n" in ran.out
    assert f" transfer {CUSTOMER_CALL} --to ADDRESS --mode consult\n    tries another target\n" in ran.out


def times_out() -> Scenario:
    """A conversion that times out while Twilio answers every request with 500."""
    story = Scenario().answered().later(5_000).convert()
    assert story.last is not None
    (effect,) = story.last.effects
    story.later(5_000).fires(ConvertOverdue)
    answers = ("500 code 20500 x13",)
    return story.later(3_000).is_unknown(
        "redirect_call", "agent", effect_id=effect.effect_id, attempts=13, failed_attempts=answers
    )


def test_errors_behind_a_timeout_are_the_first_failure(run: Run, redis: Any) -> None:
    store(redis, times_out)

    out = run("explain", CUSTOMER_CALL).out
    found = run("explain", CUSTOMER_CALL, "--json").json["first_failure"]

    cause = "outcome unknown: move agent into the conference; 13 attempts: 500 code 20500 x13"
    assert f"UTC  {cause}\n  Twilio error 20500: https://www.twilio.com/docs/api/errors/20500\n" in out
    assert (found["what"], found["twilio_code"]) == (cause, 20500)
    assert "conversion timed out" not in out


def test_session_waits_for_a_worker_while_none_is_live(run: Run, redis: Any) -> None:
    store(redis, lambda: Scenario().answered())

    waits_for_worker = run("explain", CUSTOMER_CALL).out
    redis.zadd(KEYS.workers, {"worker-1": int(redis.time()[0]) * 1000 + 3_000})  # a clock that may be ahead
    has_worker = run("explain", CUSTOMER_CALL).out

    assert "Waiting for\n  a worker to start: none is live\n" in waits_for_worker
    assert "Automatic next steps\n  None until a worker starts: " in waits_for_worker
    assert " check\n" in waits_for_worker
    assert "a party to hang up" not in waits_for_worker
    assert "Waiting for\n  a party to hang up" in has_worker
    assert "a worker to start" not in has_worker


def test_explain_json_has_times_and_null_for_unknown_values(run: Run, busy_call: Session) -> None:
    found = run("explain", CUSTOMER_CALL, "--json").json

    assert list(found) == ["session", "summary", "waits", "upcoming", "first_failure", "suggestions"]
    assert found["first_failure"] == {
        "entry": found["first_failure"]["entry"], "at": "1970-01-01T00:16:42.000Z", "what": "target was busy",
        "guard": "", "reason": "busy", "twilio_code": None, "link": None, "is_refusal": False, "is_earlier": False,
    }  # fmt: skip
    assert found["waits"][-1] == {
        "for": "the sweep, which detects lost callbacks", "by": "sweep", "since": None, "comes_at": None,
    }  # fmt: skip
    assert {one["comes_at"] is None for one in found["waits"] if one["by"] == "timer"} == {False}
    assert {"command", "why", "line"} == set(found["suggestions"][0])


# ---- replay --------------------------------------------------------------------------------------------------------


def replayed(run: Run) -> list[dict[str, Any]]:
    """The steps of the call."""
    return [json.loads(line) for line in run("replay", CUSTOMER_CALL, "--json").out.splitlines()]


def version_of(run: Run, what: str) -> dict[str, Any]:
    return next(step for step in replayed(run) if step["what"] == what)


def test_replay_shows_each_step_with_its_participants(run: Run, redis: Any) -> None:
    session = store(redis, completed)

    steps = run("replay", CUSTOMER_CALL).out.splitlines()

    numbers = [int(line.split()[0]) for line in steps if not line.startswith(" " * 20)]
    assert numbers == list(range(1, session.version + 1))
    place = steps.index(next(line for line in steps if line.endswith("target joined the conference")))
    assert steps[place + 1].strip() == "agent client:alice and target client:bob are talking; customer +…23 is on hold"
    assert any(line.strip().startswith("asks Twilio to hold customer: ") for line in steps)


def test_replay_in_json_is_one_object_a_step(run: Run, busy_call: Session) -> None:
    steps = replayed(run)

    assert [step["version"] for step in steps] == list(range(1, busy_call.version + 1))
    assert [step["what"] for step in steps if step["is_failure"]] == ["target was busy"]
    assert steps[0]["changes"]["phase"] == "ringing"
    assert steps[0]["requested_by"] is None


@pytest.mark.parametrize("named_by", ["version", "entry", "at"])
def test_replay_shows_the_session_as_it_was(run: Run, redis: Any, named_by: str) -> None:
    store(redis, lambda: completed().later(4_000).end())
    last = version_of(run, "target joined the conference")

    ran = run("replay", CUSTOMER_CALL, "--as-of", str(last[named_by]))

    assert ran.code == 0
    assert "state           transferring (consult)" in ran.out
    assert "Who heard whom\n  customer is on hold and hears music\n  agent hears target\n" in ran.out
    assert "Waiting for\n  the agent to complete, cancel, swap, or merge\n" in ran.out


def test_replay_as_of_in_json_shows_the_fields_and_who_heard_whom(run: Run, redis: Any) -> None:
    store(redis, completed)
    number = version_of(run, "target joined the conference")["version"]

    found = run("replay", CUSTOMER_CALL, "--as-of", str(number), "--json").json

    assert found["fields"]["party.target.status"] == "connected"
    assert found["hearing"][1:] == ["agent hears target", "target hears agent"]
    assert found["waits"][0]["by"] == "person"


@pytest.mark.parametrize("as_of", ["yesterday", "1-1", "25:61:00", "-3"])
def test_invalid_as_of_time_is_a_usage_error(run: Run, busy_call: Session, as_of: str) -> None:
    ran = run("replay", CUSTOMER_CALL, f"--as-of={as_of}")

    assert (ran.code, ran.out) == (2, "")


def test_a_version_after_the_newest_is_refused_with_the_newest(run: Run, busy_call: Session) -> None:
    newest = max(step["version"] for step in replayed(run))

    assert run("replay", CUSTOMER_CALL, "--as-of", str(newest)).code == 0
    ran = run("replay", CUSTOMER_CALL, "--as-of", "999")

    assert (ran.code, ran.out) == (2, "")
    assert f"no version 999; the newest is {newest}" in ran.err


def test_a_log_that_does_not_begin_at_the_beginning_says_so(run: Run, redis: Any) -> None:
    log, sessions = recorded(busy)
    put(redis, sessions[-1], log=[entry.fields for entry in log[4:]])

    ran = run("replay", CUSTOMER_CALL)

    assert ran.code == 0
    assert "the log is incomplete" in ran.err
    assert "target was busy" in ran.out


# ---- show ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes_on", [True, False], ids=["the call goes on", "the call has ended"])
def test_show_counts_the_talk_with_a_target_until_the_transfer_ends(run: Run, redis: Any, *, goes_on: bool) -> None:
    """As the outcome does. The target then is the agent, and talks on."""

    def play() -> Scenario:
        story = talking("consult").later(3_000).complete().leaves("agent").confirms("customer", "target").later(60_000)
        return story if goes_on else story.end()

    session = store(redis, play)
    (attempt,) = session.transfer.attempts
    assert (attempt.result, attempt.ended_at_ms) == ("answered", 0)

    _, table = run("show", CUSTOMER_CALL).out.split("waited  talked\n")

    assert table.splitlines()[0].split() == ["target", "client:bob", "answered", "0.0", "s", "3.0", "s"]


@pytest.mark.parametrize(
    "command", [("sessions",), ("show", CUSTOMER_CALL), ("explain", CUSTOMER_CALL), ("replay", CUSTOMER_CALL)]
)
def test_agents_have_their_names(run: Run, busy_call: Session, tmp_path: Path, command: tuple[str, ...]) -> None:
    directory = tmp_path / "directory.toml"
    directory.write_text('[agents.alice]\nname = "Alice A."\n[agents.bob]\nname = "Bob B."\n', "utf-8")

    ran = run(*command, CONFERRAL_DIRECTORY=str(directory))

    assert "agent Alice A." in ran.out
    assert "to Bob B." in ran.out or command[0] == "replay"
    assert "client:alice" not in ran.out.partition("--")[0]

    directory.write_text("[agents", "utf-8")
    ran = run(*command, CONFERRAL_DIRECTORY=str(directory))
    assert (ran.code, "client:alice" in ran.out) == (0, True)
    assert "agents have no names: CONFERRAL_DIRECTORY" in ran.err
