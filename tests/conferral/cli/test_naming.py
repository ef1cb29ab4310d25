"""Sessions on the command line: named by what people know of a call, and completed by the shell."""

import contextlib
import io
from dataclasses import replace

import pytest

from conferral.main import app
from conferral.statemachine.session import Party
from conferral.statemachine.states import PartyStatus
from tests.conferral.cli_helpers import (
    AGENT_CALL,
    CALL,
    change,
    make_session,
    published,
    put,
)

pytestmark = pytest.mark.redis
CONFERENCE = "CF" + "3c" * 16


@pytest.mark.parametrize(
    "named", ["23", "+14155550123", "alice", "client:alice", CONFERENCE, "customer-1", "customer", "agent"]
)
def test_a_command_goes_to_the_session_that_is_meant(run, redis, named):
    put(redis, make_session(conference_sid=CONFERENCE))
    ran = run("convert", named, "--no-wait")
    assert (ran.code, ran.err) == (0, "")
    assert [fields["session"] for fields in published(redis)] == [CALL]
    assert run("show", named, "--json").json["id"] == CALL


@pytest.mark.parametrize("named", [CALL, AGENT_CALL, "nobody"])
def test_id_address_or_unknown_name_is_sent_as_typed(run, redis, named, bridged):
    """A command that is given again under its id is known by its words."""
    assert run("convert", named, "--no-wait").code == 0
    assert [fields["session"] for fields in published(redis)] == [named]


def test_several_that_fit_are_listed_and_nothing_is_done(run, redis, bridged):
    put(redis, make_session("S2"))
    ran = run("end", "alice", "--json")
    assert ran.code == 1
    assert ran.error["reason"].startswith("alice matches 2 live calls: ")
    assert CALL in ran.error["reason"]
    assert published(redis) == []
    assert run("show", "alice").code == run("show", "23").code == 1


def test_without_a_session_the_only_live_one_is_meant_and_for_convert_the_only_bridged_one(run, redis):
    put(redis, make_session("S0", state="ended"))
    ran = run("hold", "--party", "agent", "--json")
    assert (ran.code, ran.error["reason"]) == (1, "there is no live call")
    put(redis, make_session())
    assert run("convert", "--no-wait").code == run("hold", "--party", "agent", "--no-wait").code == 0
    put(redis, make_session("S2", state="conferenced"))
    assert run("convert", "--no-wait").code == 0
    assert [fields["session"] for fields in published(redis)] == [CALL] * 3
    put(redis, make_session("S3"))
    for words, kind in ((("convert",), "2 bridged"), (("end", "--yes"), "3 live")):
        ran = run(*words, "--json")
        assert ran.code == 1
        assert ran.error["reason"].startswith(f"there are {kind} calls: ")
        assert ("S2" in ran.error["reason"]) == (kind == "3 live")
    assert len(published(redis)) == 3


def test_end_applies_to_the_session_that_was_confirmed(run, redis, on_terminal, bridged):
    """While the question stands, the last digits may come to mean someone else."""

    def ask(question):
        assert question.startswith("customer +…23 and agent client:alice")
        redis.flushall()
        put(redis, make_session("S2"))
        return True

    on_terminal(ask)
    run("end", "23", "--no-wait")
    assert [fields["session"] for fields in published(redis)] == [CALL]


def completed(run, redis_url, shell, typed):
    """What a shell gets on Tab."""
    words = typed.split()
    variables = {
        # Behind a space the word that is to be completed is an empty one.
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - (not typed.endswith(" ")))},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
    }[shell]
    ran = run(REDIS_URL=redis_url, _CONFERRAL_COMPLETE=f"complete_{shell}", **variables)
    assert ran.err == ""
    return ran.out


def test_bash_and_zsh_complete_live_sessions_and_say_nothing_without_redis(run, redis, redis_server, bridged):
    change(redis, **{"party.agent.address": "client:\x1b[31m\\`id`$(id)'\""})
    put(redis, make_session("CA`id`"))  # no one but who writes to Redis by hand can do so
    typed = "conferral transfer CA"
    assert completed(run, redis_server.url, "bash", typed).split() == [CALL]
    reported = completed(run, redis_server.url, "zsh", typed)
    assert f'"{CALL}":"bridged connected, +…23, client\\\\:??31m??id???id???"' in reported
    assert "`" not in reported
    assert CALL not in completed(run, "redis://127.0.0.1:1/0", "zsh", typed)


#: What is typed, what is completed of it, and what is offered.
CLOSED = [
    ("conferral call --mode", "", ["bridge", "conference"]),
    ("conferral transfer S1 --mode", "", ["warm", "consult", "blind"]),
    ("conferral transfer S1 --mode", "co", ["consult"]),
    ("conferral supervise S1 --mode", "", ["monitor", "whisper", "barge"]),
    ("conferral record S1 --action", "st", ["start", "stop"]),
    ("conferral sessions --state", "con", ["converting", "conferenced", "connected", "consult"]),
]


def offered(monkeypatch, typed, begun):
    """What the program offers bash, in this process."""
    monkeypatch.setenv("COMP_WORDS", f"{typed} {begun}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    monkeypatch.setenv("_CONFERRAL_COMPLETE", "complete_bash")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        app([], prog_name="conferral")
    return shown.getvalue().split()


@pytest.mark.parametrize(("typed", "begun", "words"), CLOSED, ids=[f"{typed} {begun}" for typed, begun, _ in CLOSED])
def test_the_values_of_closed_lists_are_completed(monkeypatch, typed, begun, words):
    assert offered(monkeypatch, typed, begun) == words


def test_the_parties_of_the_session_are_completed_and_nothing_that_a_shell_would_run(redis, monkeypatch, bridged):
    session = make_session()
    others = {"expert": PartyStatus.RINGING, "gone": PartyStatus.LEFT, "`id`": PartyStatus.CONNECTED}
    parties = {name: Party(name, name, status=status) for name, status in others.items()}
    put(redis, replace(session, parties={**session.parties, **parties}))

    assert offered(monkeypatch, f"conferral remove {CALL} --party", "") == ["customer", "agent", "expert"]
    assert offered(monkeypatch, "conferral hold alice --party", "ex") == ["expert"]
    assert offered(monkeypatch, "conferral mute nobody --party", "") == []
    assert offered(monkeypatch, "conferral mute --party", "") == []
