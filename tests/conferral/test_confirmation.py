"""What hangs someone up: asked about on a terminal, and refused without one unless it is meant for sure."""

import pytest

from tests.conferral.cli_helpers import AGENT_CALL, CALL, decide, ended, make_session, published, put

pytestmark = pytest.mark.redis


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
        monkeypatch.setattr("conferral.output.confirm", lambda question: asked.append(question) or typed == "y")
        return asked

    return prepare


def test_end_asks_on_a_terminal_and_names_the_parties_it_hangs_up(run, redis, answer):
    put(redis, make_session())
    asked = answer("n")

    ran = run("end", CALL)

    assert asked == ["customer +…23 and agent client:alice will be disconnected. End the call?"]
    assert (ran.code, ran.err) == (1, "nothing was changed\n")
    assert published(redis) == []


def test_end_does_what_was_confirmed(run, redis, answer):
    put(redis, make_session())
    decide(redis, "mine", "done")
    answer("y")

    assert run("end", CALL, "--id", "mine").code == 0
    assert published(redis) == [{"type": "end", "session": CALL, "by": "cli", "id": "mine"}]


@pytest.mark.parametrize(
    ("party", "whom"),
    [("customer", "customer +…23"), (AGENT_CALL, "agent client:alice"), ("nobody", "No one")],
)
def test_remove_asks_on_a_terminal_and_names_the_party_it_hangs_up(run, redis, answer, party, whom):
    put(redis, make_session())
    asked = answer("n")

    ran = run("remove", CALL, "--party", party)

    assert asked == [f"{whom} will be disconnected. Continue?"]
    assert (ran.code, ran.err) == (1, "nothing was changed\n")
    assert published(redis) == []


@pytest.mark.parametrize("typed", [("end", CALL), ("remove", CALL, "--party", "agent")])
def test_yes_option_skips_the_confirmation(run, redis, answer, typed):
    put(redis, make_session())
    asked = answer("n")

    assert run(*typed, "--yes", "--no-wait").code == 0
    assert asked == []


HANG_UP = [("end",), ("remove", "--party", "agent")]


@pytest.mark.parametrize("typed", HANG_UP, ids=["end", "remove"])
@pytest.mark.parametrize("named", ["alice", "23", CALL[:6], AGENT_CALL])
def test_without_a_terminal_what_is_not_a_full_session_id_hangs_no_one_up(run, redis, named, typed):
    put(redis, make_session())
    command, *options = typed

    ran = run(command, named, *options)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"without a terminal, {command} needs --yes or the full session id; nothing was done\n")
    assert f"  it matches {CALL}: " in ran.err
    assert published(redis) == []
    assert run(command, named, *options, "--yes", "--no-wait").code == 0
    assert len(published(redis)) == 1


@pytest.mark.parametrize("typed", HANG_UP, ids=["end", "remove"])
def test_full_session_id_needs_no_confirmation_without_a_terminal(run, redis, monkeypatch, typed):
    put(redis, make_session())
    monkeypatch.setattr("conferral.output.confirm", lambda _question: pytest.fail("no one can be asked"))
    command, *options = typed

    assert run(command, CALL, *options, "--no-wait").code == 0


def test_an_ended_call_is_not_what_a_command_means(run, redis):
    put(redis, ended())

    ran = run("end", "alice", "--yes")

    assert ran.code == 1
    assert ran.err.startswith(f"no live call matches alice; 1 ended call does: {CALL} (ended, ")
    assert published(redis) == []
