"""What the tests of the command line share: sessions to be found in Redis, and ways to run the program."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace

import msgspec

from conferral.statemachine.parts import TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import (
    PartyStatus,
    Phase,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.keys import Keys
from tests.support.flat_sessions import flat_record, in_bytes, session_of
from tests.support.process_reports import shown

KEYS = Keys("conferral", 16)
PROGRAM = (sys.executable, "-m", "conferral")
CALL = "CA" + "1" * 32
AGENT_CALL = "CA" + "2" * 32
TARGET_CALL = "CA" + "5" * 32
CREATED_MS = 1_800_000_000_000

SERVICE = {
    "TWILIO_ACCOUNT_SID": "AC" + "a1" * 16,
    "TWILIO_AUTH_TOKEN": "hidden-token",
    "TWILIO_NUMBER": "+14155550100",
    "CONFERRAL_PUBLIC_URL": "http://127.0.0.1:9",
    "CONFERRAL_AGENT": "client:alice",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return msgspec.json.decode(self.out)

    @property
    def error(self):
        return msgspec.json.decode(self.err)["error"]


def make_session(session_id=CALL, **changes):
    customer = Party("customer", "customer-1", session_id, "+14155550123", PartyStatus.CONNECTED)
    agent = Party("agent", "agent-1", AGENT_CALL, "client:alice", PartyStatus.CONNECTED)
    session = Session(
        session_id,
        State.BRIDGED,
        Phase.CONNECTED,
        4,
        created_at_ms=CREATED_MS,
        updated_at_ms=CREATED_MS + 1_000,
        parties={"customer": customer, "agent": agent},
        timers={"age": CREATED_MS + 86_400_000},
    )
    return replace(session, **changes)


def set_up(redis):
    """What the first worker leaves behind."""
    redis.hset(KEYS.config, mapping={"partitions": KEYS.partitions, "schema": SCHEMA_VERSION})


def put_desk(redis, identity, name, status, *, renewed_ms, keys=KEYS):
    """An agent's presence, as their desk has renewed it."""
    agent = {"name": name, "status": status, "since_ms": renewed_ms - 60_000, "renewed_ms": renewed_ms}
    redis.hset(keys.agents, identity, msgspec.json.encode(agent))


def put(redis, session, *, log=()):
    """A session with its log and the index of its calls, as a worker leaves them."""
    set_up(redis)
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(KEYS.session(session.id))
    pipeline.hset(KEYS.session(session.id), mapping=session_codec.encode(session))
    pipeline.execute()
    partition = KEYS.partition_of(session.id)
    if session.state is State.ENDED:
        redis.srem(KEYS.live(partition), session.id)
        redis.zadd(KEYS.ended(partition), {session.id: session.ended_at_ms})
    else:
        redis.sadd(KEYS.live(partition), session.id)
    for party in session.parties.values():
        redis.set(KEYS.call(party.call_sid), session.id)
    for entry in log:
        redis.xadd(KEYS.log(session.id), entry)


def log_entry(event, at_ms=CREATED_MS, *, before="bridged", after="bridged", **more):
    fields = {"at": to_iso(at_ms), "event": event, "from": before, "to": after, "outcome": "stayed", "version": "2"}
    return {**fields, "reason": "", "effects": "[]", **more}


def decide(redis, command_id, status, reason="", **more):
    """A worker has decided: what is waited for is there already."""
    redis.hset(KEYS.command(command_id), mapping={"status": status, "reason": reason, "session": CALL, **more})


def published(redis):
    return [fields for _, fields in redis.xrange(KEYS.commands)]


def ended(session_id=CALL):
    return make_session(
        session_id, state=State.ENDED, phase=Phase.NONE, ended_at_ms=CREATED_MS + 61_000, end_reason="agent-left"
    )


def conferenced(session_id=CALL):
    session = make_session(session_id, state=State.CONFERENCED, phase=Phase.CONNECTED)
    parties = {name: replace(party, in_conference=True) for name, party in session.parties.items()}
    return replace(session, parties=parties)


def consult(redis, session_id=CALL, **changes):
    """A session in which agent and target talk while the customer is on hold; `changes` are as in `change`."""
    session = make_session(session_id, state=State.TRANSFERRING, phase=Phase.CONSULT)
    customer = replace(
        session.parties["customer"], in_conference=True, held=True, desired_hold=True, wait_audio=WaitAudio.MUSIC
    )
    agent = replace(session.parties["agent"], in_conference=True)
    target = Party(
        "target", "target-2", TARGET_CALL, "+14155550145", PartyStatus.CONNECTED, in_conference=True, dial_id="d1",
        answered=True,
    )  # fmt: skip
    transfer = TransferState(
        1, TransferMode.CONSULT, ("+14155550145",), status=TransferStatus.CONSULTING, stage=TransferStage.TALKING
    )
    parties = {"customer": customer, "agent": agent, "target": target}
    put(redis, replace(session, parties=parties, transfer=transfer))
    if changes:
        change(redis, session_id, **changes)


def process_variables(**variables):
    """The environment of a process: no settings of ours except the given ones."""
    ours = ("TWILIO_", "CONFERRAL_", "REDIS_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TERM": "xterm", **variables}


def start(*arguments, cwd, **options):
    """The program as a process of its own."""
    variables = options.pop("env", {})
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "stdin": subprocess.DEVNULL,
        "text": True,
    } | options
    return subprocess.Popen([*PROGRAM, *arguments], cwd=cwd, env=process_variables(**variables), **options)


def until(holds, what, program=None, *, timeout_s=60.0):
    """Waits until something holds that happens in other processes: there is nothing here that could wake us.

    A program that has ended meanwhile fails the test at once, with its exit code and what it printed.
    """
    deadline_s, no_one = time.monotonic() + timeout_s, threading.Event()
    while not holds():
        ended = program is not None and program.poll() is not None
        if ended or time.monotonic() > deadline_s:
            raise AssertionError(f"{what}\n{_printed(program)}")
        no_one.wait(0.02)


def _printed(program):
    if program is None:
        return ""
    exit_code = program.poll()
    program.kill()
    out, err = program.communicate()
    return shown(" ".join(program.args[2:]), exit_code, f"{out or ''}{err or ''}")


def change(redis, session_id: str = CALL, **changes: str) -> None:
    """Change a stored session, by names such as `party.agent.held`."""
    put(redis, session_of(stored_fields(redis, session_id) | changes))


def stored_fields(redis, session_id: str = CALL) -> dict[str, str]:
    """Return all fields of a stored session, as readers do."""
    return flat_record(in_bytes(redis.hgetall(KEYS.session(session_id))))
