"""`convert` and `end`: published, waited for, and told."""

import pytest

from statemachine.states import Phase, State
from tests.conferral.kit import AGENT_CALL, CALL, KEYS, ended, make_session, put

pytestmark = pytest.mark.redis


def decide(redis, command_id, status, reason=""):
    """A worker has decided: what is waited for is there already."""
    redis.hset(KEYS.command(command_id), mapping={"status": status, "reason": reason, "session": CALL})


def published(redis):
    return [fields for _, fields in redis.xrange(KEYS.commands)]


def test_a_command_that_is_done_is_told_with_the_new_state_and_the_next_step(run, redis):
    put(redis, make_session(state=State.CONFERENCED, phase=Phase.NONE))
    decide(redis, "mine", "done")

    ran = run("convert", AGENT_CALL, "--id", "mine")

    assert ran.code == 0
    assert ran.out == f"converted: {CALL} is conferenced\n"
    assert f"conferral end {CALL}" in ran.err
    assert published(redis) == [{"type": "convert", "session": AGENT_CALL, "id": "mine"}]


def test_a_command_in_json_tells_its_outcome(run, redis):
    put(redis, ended())
    decide(redis, "mine", "done")

    assert run("end", CALL, "--id", "mine", "--json").json == {
        "command": "mine",
        "status": "done",
        "reason": "",
        "session": CALL,
    }


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_the_reason_of_a_refusal_goes_to_standard_error(run, redis, status):
    put(redis, make_session(phase=Phase.RINGING))
    decide(redis, "mine", status, "nobody has answered yet")

    ran = run("convert", CALL, "--id", "mine")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"convert {status}: nobody has answered yet\n"


def test_a_refusal_in_json_names_what_the_state_allows(run, redis):
    put(redis, make_session(phase=Phase.RINGING))
    decide(redis, "mine", "rejected", "nobody has answered yet")

    ran = run("convert", CALL, "--id", "mine", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert ran.error == {
        "reason": "convert rejected: nobody has answered yet",
        "allowed": ["end"],
        "command": "mine",
    }


def test_a_command_that_nobody_decides_is_still_under_way(run, redis):
    put(redis, make_session())

    ran = run("convert", CALL, "--timeout", "0.1", "--id", "mine")

    assert (ran.code, ran.out) == (1, "")
    assert "still under way after 0.1 s; its id is mine" in ran.err
    assert "no worker is alive" in ran.err


def test_a_command_that_was_accepted_and_takes_long_names_no_worker(run, redis):
    put(redis, make_session())
    decide(redis, "mine", "accepted")

    ran = run("convert", CALL, "--timeout", "0.1", "--id", "mine")

    assert "still under way" in ran.err
    assert "worker" not in ran.err


def test_no_wait_prints_the_id_alone(run, redis):
    put(redis, make_session())

    ran = run("convert", CALL, "--no-wait")

    assert ran.code == 0
    assert [ran.out.strip()] == [fields["id"] for fields in published(redis)]
    assert run("convert", CALL, "--no-wait", "--json").json == {"command": published(redis)[1]["id"]}


def test_every_command_has_an_id_of_its_own(run, redis):
    put(redis, make_session())

    assert run("convert", CALL, "--no-wait").out != run("convert", CALL, "--no-wait").out


class Terminal:
    """Standard input as a person's terminal, with what the person types."""

    def __init__(self, typed):
        self.typed = typed

    def isatty(self):
        return True

    def readline(self, *_limit):
        return self.typed + "\n"


@pytest.fixture
def answer(monkeypatch):
    asked = []

    def prepare(typed):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        monkeypatch.setattr("conferral.output.ask", lambda question: asked.append(question) or typed == "y")
        return asked

    return prepare


def test_end_asks_on_a_terminal_and_names_whom_it_hangs_up(run, redis, answer):
    put(redis, make_session())
    asked = answer("n")

    ran = run("end", CALL)

    assert asked == ["customer +…23 and agent client:alice will be hung up. End it?"]
    assert (ran.code, ran.err) == (1, "nothing was done\n")
    assert published(redis) == []


def test_end_does_what_was_confirmed(run, redis, answer):
    put(redis, make_session())
    decide(redis, "mine", "done")
    answer("y")

    assert run("end", CALL, "--id", "mine").code == 0
    assert published(redis) == [{"type": "end", "session": CALL, "id": "mine"}]


def test_end_with_yes_asks_nobody(run, redis, answer):
    put(redis, make_session())
    asked = answer("n")

    assert run("end", CALL, "--yes", "--no-wait").code == 0
    assert asked == []


def test_end_without_a_terminal_asks_nobody(run, redis, monkeypatch):
    put(redis, make_session())
    monkeypatch.setattr("conferral.output.ask", lambda _question: pytest.fail("nobody is there to be asked"))

    assert run("end", CALL, "--no-wait").code == 0
