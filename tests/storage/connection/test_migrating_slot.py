"""Every script while the slot of its keys moves to another node: it is done, or does nothing and may be sent again.

Redis lets a script begin if all its keys are still here, and checks each command in it. A key that the script itself
has emptied is "not here" for the next one, which is refused, and what was written before stays.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.scripts import SCRIPTS
from tests.support.ports import HOST
from tests.support.redis_cluster import ClusterNode, free_cluster_ports
from tests.support.redis_node import until
from tests.support.redis_server import found_programs

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]
KEYS = Keys("{moving}", 1)
SESSION, DAY_S, LATER_MS = "s1", 86_400, 10**15
HOLDER = "1:one"
#: What a script gets from the clock, and ids of entries: their second number counts those of one millisecond.
_TIME = re.compile(r"[0-9]{10,}(?:-[0-9]+)?")
Command = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """One run of a script: what is there before, and what it is given."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[str | int]
    before: Sequence[Command]


def tick(request: int, *, wants: str = "share", gives: str = "", dead: str = "") -> Sequence[str | int]:
    return "one", request, 2_000, wants, 2, "sweep", gives, dead, 1, 30_000


LEASE: Command = ("HSET", KEYS.lease(0), "holder", HOLDER, "commit", 4)
EVENT: Command = ("XADD", KEYS.events(0), "5-1", "type", "x")
EFFECT: Command = ("HSET", KEYS.outbox(0), "e1", '{"kind":"x"}')
STORED: Command = ("HSET", KEYS.session(SESSION), "id", SESSION, "version", 3, "state", "ended")
LOGGED: Command = ("XADD", KEYS.log(SESSION), "5-1", "event", "x")
OWNER = '{"holder":"two","epoch":3,"renewed_at":1}'
OTHER = '{"holder":"two","tick":7,"lifetime_ms":2000,"takes":true,"renewed_at":1,"accepted":true}'
OWNERS = [KEYS.owners, KEYS.workers]
AGENT = '{"name":"","status":"ready","since_ms":5,"renewed_ms":5,"registered":"","desks":{}}'
SIGN_IN = '{"identity":"alice","token":"api"}'
CODE = f'{{"identity":"alice","token":"api","until_ms":{LATER_MS},"for_ms":5}}'
SIGNED_IN = '{"renewed_ms":5,"registered":"d1","sign_in":"d1","desks":{"d1":{"sign_in":"d1"}}}'
BY_CODE: Sequence[str | int] = ["d2", SIGN_IN, 0, 9, "d1", "", LATER_MS]
LISTED: Command = ("ZADD", KEYS.workers, 5, "one")
COMMAND = KEYS.command("c1")
OFFER = KEYS.offer("alice")
SENDING = [KEYS.sending, KEYS.sending_due]
BATCH = {
    "entries": ["5-1"], "outbox_set": ["e2", "{}"], "outbox_remove": ["e1"],
    "timers_set": ["9", "ring|s1"], "timers_remove": ["ring|s2"],
    "sessions": [{"id": SESSION, "expected": "3", "ended_at": "9", "set": ["version", "4"], "log": [["event", "y"]]}],
    "reports": [[12, "done", "", SESSION, ""]], "outcomes": [["id", "o1"]], "over": [[13, SESSION]],
    "unplayed": [14],
}  # fmt: skip

#: For each script one run that writes, and those that empty a key.
CASES = [
    Case("add_sign_in", [KEYS.sign_ins], BY_CODE, [("HSET", KEYS.sign_ins, "d1", CODE)]),
    Case("answer_tick", OWNERS, tick(1), [("HSET", KEYS.owners, "0", OWNER, "worker:two", OTHER), LISTED]),
    Case("answer_tick", OWNERS, tick(1, dead="two=7"), [("HSET", KEYS.owners, "worker:two", OTHER), LISTED]),
    Case("answer_tick", OWNERS, tick(8, wants="leave"), [("HSET", KEYS.owners, "worker:one", OTHER), LISTED]),
    Case("claim_command", [COMMAND], ["5-1", SESSION, "d", DAY_S, "me"], [("HSET", COMMAND, "reopened", 5)]),
    Case("claim_gate", [KEYS.gates(SESSION)], ["d1", "CA1", "g", DAY_S, "d2"],
         [("HSET", KEYS.gates(SESSION), "ring_group:g", "d2")]),
    Case("claim_visit", [KEYS.call("CA1")], ["CA1", "CA1.2", DAY_S], [("SET", KEYS.call("CA1"), "CA1")]),
    Case("commit_batch",
         [KEYS.events(0), KEYS.lease(0), KEYS.outbox(0), KEYS.timers(0), KEYS.live(0), KEYS.ended(0),
          KEYS.new_log(0), KEYS.outcomes, KEYS.session(SESSION), KEYS.log(SESSION), COMMAND,
          KEYS.call("CA1"), KEYS.digits("c1")],
         [HOLDER, 5, DAY_S, DAY_S, DAY_S, 5_000, 1_000, json.dumps(BATCH), "{}"],
         [LEASE, EVENT, EFFECT, STORED, LOGGED, ("ZADD", KEYS.timers(0), 7, "ring|s2"), ("SADD", KEYS.live(0), SESSION),
          ("ZADD", KEYS.ended(0), 1, "s0"),
          ("HSET", COMMAND, "status", "accepted"), ("SET", KEYS.call("CA1"), SESSION)]),
    Case("count_call", [KEYS.identity("alice")], [9, 60_000, "CA1"], [("ZADD", KEYS.identity("alice"), 5, "CA1")]),
    Case("dead_letter_entry", [KEYS.dead], [1, "a", "b"], [("XADD", KEYS.dead, "5-1", "a", "b")]),
    Case("end_sign_ins", [KEYS.sign_ins, KEYS.agents], ["alice", "", 1],
         [("HSET", KEYS.sign_ins, "d1", CODE), ("HSET", KEYS.agents, "alice", SIGNED_IN)]),
    Case("erase_session",
         [KEYS.session(SESSION), KEYS.log(SESSION), KEYS.gates(SESSION), KEYS.live(0), KEYS.ended(0)],
         [SESSION, "3", 0],
         [STORED, LOGGED, ("HSET", KEYS.gates(SESSION), "dial:d1", "CA1"), ("SADD", KEYS.live(0), "s2"),
          ("ZADD", KEYS.ended(0), 1, SESSION)]),
    Case("finish_effect", [KEYS.outbox(0), KEYS.events(0)], ["e1", "type", "y"], [EFFECT, EVENT]),
    Case("fire_timers", [KEYS.lease(0), KEYS.timers(0), KEYS.events(0)], [HOLDER, 200, 9],
         [LEASE, EVENT, ("ZADD", KEYS.timers(0), 7, "ring|s1")]),
    Case("fire_timers", [KEYS.lease(0), KEYS.timers(0), KEYS.events(0)], [HOLDER, 1, 9, "lone", 1],
         [LEASE, EVENT, ("ZADD", KEYS.timers(0), 7, "ring|s1", 8, "ring|s2", 99, "lone|s3", 99, "ring|s4")]),
    Case("hold_partition", [KEYS.lease(0), KEYS.events(0)], ["2:two", "", 60_000, 0, "", ""], [LEASE, EVENT]),
    Case("hold_partition", [KEYS.lease(0), KEYS.events(0)], ["2:two", "", 60_000, 0, "", ""],
         [("HSET", KEYS.lease(0), "released", 1), EVENT]),
    Case("extend_run", [KEYS.presence], ["desks", 1_000, 9_000], [("HSET", KEYS.presence, "desks_ms", 5)]),
    Case("mark_sent", [KEYS.lease(0), KEYS.outbox(0), KEYS.outbox(0)], [HOLDER, "e1", 5, ""], [LEASE, EFFECT]),
    Case("mark_sent", [KEYS.lease(0), KEYS.outbox(0), OFFER], [HOLDER, "e1", 5, "s0"],
         [LEASE, EFFECT, ("SET", OFFER, "1 5 s0")]),
    Case("mark_sent", [KEYS.lease(0), KEYS.outbox(0), KEYS.outbox(0), KEYS.dials, KEYS.call_dials("CA1")],
         [HOLDER, "e1", 5, "", 9, 60_000, 9, 60_000],
         [LEASE, EFFECT, ("ZADD", KEYS.dials, LATER_MS, "e0"), ("ZADD", KEYS.call_dials("CA1"), 5, "e2")]),
    Case("queue_outcomes", [*SENDING, KEYS.sending_state], ["5-1", 5, SESSION, "6-1"],
         [("HSET", KEYS.sending, "s0", "0 4-1"), ("ZADD", KEYS.sending_due, 5, "s0"),
          ("HSET", KEYS.sending_state, "position", "5-1")]),
    Case("end_offer", [OFFER, KEYS.agents, KEYS.agent_away("alice")], ["1 s0", "alice", "no-answer", DAY_S],
         [("SET", OFFER, "1 s0"), ("HSET", KEYS.agents, "alice", AGENT)]),
    Case("remove_member", [KEYS.queued, KEYS.session(SESSION)], [SESSION, "3", "HDEL"],
         [("HSET", KEYS.queued, SESSION, ""), STORED]),
    Case("note_call", [KEYS.agents], ["alice", 1], [("HSET", KEYS.agents, "alice", AGENT)]),
    Case("remove_unchanged", [KEYS.agents], ["alice", AGENT, "dave", AGENT],
         [("HSET", KEYS.agents, "alice", AGENT, "dave", AGENT)]),
    Case("renew_agent", [KEYS.agents, KEYS.agent_away("alice")],
         ["alice", "Alice", "away", "d1", 0, 1_000, 8, "", 0, 1, 9_000, 1_000],
         [("HSET", KEYS.agents, "alice", AGENT), ("SET", KEYS.agent_away("alice"), "no-answer")]),
    Case("reopen_command", [COMMAND], ["5-1", "dead", 1_000],
         [("HSET", COMMAND, "status", "failed", "reason", "dead-lettered", "entry", "5-1")]),
    Case("reopen_command", [COMMAND], ["", "dead", 1_000],
         [("HSET", COMMAND, "status", "failed", "reason", "dead-lettered")]),
    Case("report_command", [COMMAND], ["done", "", SESSION, DAY_S, ""], [("HSET", COMMAND, "status", "accepted")]),
    Case("settle_outcome", SENDING, [SESSION, "6-1", 0, 9],
         [("HSET", KEYS.sending, SESSION, "0 6-1"), ("ZADD", KEYS.sending_due, 5, SESSION)]),
    Case("store_answer", [KEYS.events(0), KEYS.agents], ["alice", LATER_MS, "{}", "[]", "type", "y"],
         [EVENT, ("HSET", KEYS.agents, "alice", AGENT)]),
    Case("store_refusal", [KEYS.events(0), KEYS.ring("CA2")], ["{}", "[]", "type", "y"],
         [EVENT, ("SET", KEYS.ring("CA2"), "busy")]),
    Case("settle_outcome", SENDING, [SESSION, "6-1", 0, 9],
         [("HSET", KEYS.sending, SESSION, "2 6-1 7-1"), ("ZADD", KEYS.sending_due, 5, SESSION)]),
]  # fmt: skip


#: In `make test` on one.
PROGRAMS = [
    pytest.param(program, id=name, marks=[pytest.mark.soak] if number else [])
    for number, (name, program) in enumerate(sorted(found_programs().items(), reverse=True))
]


@pytest.fixture(params=PROGRAMS)
def nodes(request: pytest.FixtureRequest) -> Iterator[tuple[ClusterNode, ClusterNode]]:
    """A node that has all slots, and one that can get them."""
    folder = Path(tempfile.mkdtemp(prefix="conferral-slots-"))
    source, target = (ClusterNode(request.param, folder, port, 5_000) for port in free_cluster_ports(2))
    try:
        source.start()
        target.start()
        source.ask("CLUSTER", "ADDSLOTS", *map(str, range(16_384)))
        source.ask("CLUSTER", "MEET", HOST, str(target.port))
        until(lambda: all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in (source, target)), "they meet")
        yield source, target
    finally:
        source.kill()
        target.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Slot:
    """The slot of all keys of a case, at two nodes."""

    def __init__(self, source: redis.Redis, target: redis.Redis, target_port: int) -> None:
        self.source, self.target, self._target_port = source, target, target_port
        self.number = int(source.execute_command("CLUSTER", "KEYSLOT", KEYS.commands))
        self.ids = [str(node.execute_command("CLUSTER", "MYID")) for node in (source, target)]

    def fill(self, case: Case) -> None:
        """Everything is at the source, and stays there."""
        for node in (self.source, self.target):
            node.execute_command("CLUSTER", "SETSLOT", self.number, "STABLE")
            node.flushall()
        for command in case.before:
            self.source.execute_command(*command)

    def begin_to_move(self, keys: Sequence[str]) -> None:
        """Some keys are at the target, the others still here."""
        self.target.execute_command("CLUSTER", "SETSLOT", self.number, "IMPORTING", self.ids[0])
        self.source.execute_command("CLUSTER", "SETSLOT", self.number, "MIGRATING", self.ids[1])
        for key in keys:
            self.source.execute_command("MIGRATE", HOST, self._target_port, key, 0, 5_000)

    def content(self) -> dict[str, str]:
        """All keys with what they hold, without times."""
        found = self._content_of(self.source)
        self.target.execute_command("CLUSTER", "SETSLOT", self.number, "STABLE")
        # A node redirects what is about a slot of another; a transaction may not ask either.
        self.target.execute_command("CLUSTER", "SETSLOT", self.number, "IMPORTING", self.ids[0])
        moved = self._content_of(self.target, asking=True)
        assert not found.keys() & moved.keys()
        return found | moved

    @staticmethod
    def _content_of(node: redis.Redis, *, asking: bool = False) -> dict[str, str]:
        reads = {
            "hash": ("HGETALL",), "zset": ("ZRANGE", 0, -1, "WITHSCORES"), "set": ("SORT", "ALPHA"), "string": ("GET",),
            "stream": ("XRANGE", "-", "+"),
        }  # fmt: skip

        def ask(*command: Any) -> Any:
            with node.pipeline(transaction=False) as pipeline:
                if asking:
                    pipeline.execute_command("ASKING")
                pipeline.execute_command(*command)
                return pipeline.execute()[-1]

        found = {}
        for key in node.scan_iter():
            name, *more = reads[ask("TYPE", key)]
            held, expires = ask(name, key, *more), ask("PTTL", key) >= 0
            held = sorted(held.items()) if isinstance(held, dict) else held
            found[str(key)] = _TIME.sub("TIME", f"{held} {expires}")
        return found


async def run(client: Any, case: Case) -> str:
    answer = await SCRIPTS[case.script](client, case.keys, case.arguments)
    return _TIME.sub("TIME", repr(answer))


def test_there_is_a_case_of_every_script_that_writes() -> None:
    assert {case.script for case in CASES} == SCRIPTS.keys() - {"identify_server"}


def parts_of(keys: Sequence[str]) -> set[tuple[str, ...]]:
    """What may be at the target by now: some of the keys, from either end."""
    cuts = range(len(keys) + 1)
    return {tuple(part) for cut in cuts for part in (keys[:cut], keys[cut:])}


async def broken_promise(client: Any, slot: Slot, case: Case, before: object, done: object) -> str:
    """What is wrong after a run in the middle of a move; empty if nothing is."""
    try:
        found: object = await run(client, case), slot.content()
    except StoreUnreachableError:
        return "" if slot.content() == before else "refused, after it had written"
    except StoreError as error:
        return f"{error}; {'nothing' if slot.content() == before else 'something'} was written"
    return "" if found == done else f"{found}, not {done}"


async def test_script_is_done_or_does_nothing_while_its_slot_moves(nodes: tuple[ClusterNode, ClusterNode]) -> None:
    source, target = nodes
    wrong = []
    with source.client() as here, target.client() as there:
        async with make_client(f"redis://{HOST}:{source.port}/0") as client:
            slot = Slot(here, there, target.port)
            for case in CASES:
                slot.fill(case)
                before, keys = slot.content(), sorted(map(str, here.scan_iter()))
                done = await run(client, case), slot.content()
                assert before != done[1], f"{case.script} writes"
                for moved in parts_of(keys):
                    slot.fill(case)
                    slot.begin_to_move(moved)
                    if what := await broken_promise(client, slot, case, before, done):
                        wrong.append(f"{case.script}, {len(moved)} of {len(keys)} keys moved: {what}")
    assert not wrong, "\n".join(wrong)
