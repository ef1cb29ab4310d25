"""What hangs someone up: asked about on a terminal, and refused without one unless it is meant for sure."""

import pytest

from tests.conferral.cli_helpers import AGENT_CALL, CALL, Ran, ended, published, put

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("bridged")]


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        (("end", CALL), "customer +…23 and agent client:alice will be disconnected. End the call?"),
        (("remove", CALL, "--party", "customer"), "customer +…23 will be disconnected. Continue?"),
        (("remove", CALL, "--party", AGENT_CALL), "agent client:alice will be disconnected. Continue?"),
        (("remove", CALL, "--party", "nobody"), "No one will be disconnected. Continue?"),
    ],
)
def test_terminal_is_asked_and_shown_who_is_hung_up(run, redis, on_terminal, typed, question):
    asked = on_terminal(lambda _question: False)

    assert run(*typed) == Ran(1, "", "nothing was changed\n")
    assert asked == [question]
    assert published(redis) == []


HANG_UP = [("end",), ("remove", "--party", "agent")]


@pytest.mark.parametrize("typed", HANG_UP, ids=["end", "remove"])
@pytest.mark.parametrize("named", ["alice", "23", CALL[:6], AGENT_CALL])
def test_without_a_terminal_what_is_not_a_full_session_id_hangs_no_one_up(run, redis, named, typed):
    command, *options = typed

    ran = run(command, named, *options)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"without a terminal, {command} needs --yes or the full session id; nothing was done\n")
    assert f"  it matches {CALL}: " in ran.err
    assert published(redis) == []
    assert run(command, named, *options, "--yes", "--no-wait").code == 0
    assert len(published(redis)) == 1


def test_an_ended_call_is_not_what_a_command_means(run, redis):
    put(redis, ended())

    ran = run("end", "alice", "--yes")

    assert ran.code == 1
    assert ran.err.startswith(f"no live call matches alice; 1 ended call does: {CALL} (ended, ")
    assert published(redis) == []
