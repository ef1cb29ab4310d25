"""A Redis in memory: runs commands and scripts, wakes blocked clients, and fails as configured."""

import asyncio
import hashlib
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from conferral.storage.scripts import SCRIPTS
from tests.support.memory_redis import plain_commands, sorted_commands, stream_commands  # noqa: F401  # fill the table
from tests.support.memory_redis.administration import own_commands
from tests.support.memory_redis.faults import Fault
from tests.support.memory_redis.keyspace import COMMANDS, Command, Keyspace
from tests.support.memory_redis.lua import Scripts
from tests.support.memory_redis.stream_commands import Blocked, read_now
from tests.support.memory_redis.values import Refusal, Reply, UnsupportedError

if TYPE_CHECKING:
    from tests.support.memory_redis.client import MemoryClient

CONTAINERS = frozenset({b"XGROUP", b"XINFO", b"CONFIG", b"SCRIPT", b"CLIENT"})
SCRIPT_NAMES = {script.sha.encode(): name for name, script in SCRIPTS.items()}
OOM = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."
NO_REPLICAS = "NOREPLICAS Not enough good replicas to write."
FORBIDDEN = "NOPERM this user has no permissions to run the command"
LOADING = "LOADING Redis is loading the dataset in memory"


class Waiter:
    """A read that waits for entries."""

    __slots__ = ("answer", "desired_status")

    def __init__(self, wanted: Blocked, answer: "asyncio.Future[Reply]") -> None:
        self.desired_status = wanted
        self.answer = answer


class MemoryServer:
    """One server. Everything it does is a function of the commands, of `now_ms` and of the faults that are asked for.

    Attributes:
        fault: Asked before each command, with its name in capitals, or in small letters the name of our script that is
            run; what it answers becomes of the command. In a pipeline each command is asked for on its own, and what
            breaks the connection leaves the rest undone.
        latency: Asked for each command or pipeline, with the first command's name: how long it travels and how long its
            answer does, seconds of the loop's clock. None: it arrives at once, the answer one turn of the loop later.
        is_full, is_read_only, lacks_replicas: How the whole server refuses writes until reset.
        is_down: Whether it refuses connections; see `stop` and `start`.
        count: Commands that were run, those of scripts not counted.
    """

    def __init__(self, now_ms: Callable[[], int], *, version: tuple[int, int, int] = (7, 0, 15)) -> None:
        """Starts an empty one.

        Args:
            now_ms: Its wall clock, Unix milliseconds.
            version: What it says it is. Its behavior is that of 7.0.
        """
        self.db = Keyspace(now_ms)
        self.version = version
        self.scripts = Scripts(self._run_for_script, version)
        self.fault: Callable[[str], Fault | None] | None = None
        self.latency: Callable[[str], tuple[float, float]] | None = None
        self.is_full = self.is_read_only = self.lacks_replicas = False
        self.is_down = False
        self.count = 0
        #: Which of the connections made so far still stand: those of this number.
        self.epoch = 0
        self.started_ms = now_ms()
        self.settings = {b"maxmemory": b"0", b"maxmemory-policy": b"noeviction", b"min-replicas-to-write": b"0",
                         b"appendonly": b"no"}  # fmt: skip
        #: What arrived while the server is paused; None while it is not.
        self.held_up: list[Callable[[], None]] | None = None
        #: Replies that someone waits for, and their time-outs.
        self.open: dict[asyncio.Future[Any], None] = {}
        self._starts = 0
        self._waiting: dict[bytes, dict[Waiter, None]] = {}
        self._script_has_written = False
        self._fault_now: Fault | None = None
        self._time_us = 0
        self._table: dict[bytes, Command] = COMMANDS | own_commands(self)

    # ---- what simulations do with it -----------------------------------------------------------------------------

    def client(self, *, blocking: bool = False) -> "MemoryClient":
        """A client as `storage.connection.make_client` makes them."""
        from conferral.storage.connection.client import BLOCK_TIMEOUT_S, COMMAND_TIMEOUT_S
        from tests.support.memory_redis.client import MemoryClient

        return MemoryClient(self, timeout_s=BLOCK_TIMEOUT_S if blocking else COMMAND_TIMEOUT_S)

    @property
    def run_id(self) -> str:
        """Changes with every start."""
        return hashlib.sha1(b"%d" % self._starts, usedforsecurity=False).hexdigest()

    def break_connections(self) -> None:
        """Breaks every connection: waiting clients don't learn their command's outcome."""
        self.epoch += 1
        for answer in list(self.open):
            if not answer.done():
                answer.set_exception(_broken())
        self.open.clear()

    def stop(self) -> None:
        """Goes down with all that it holds in its file."""
        self.is_down = True
        self.break_connections()

    def start(self) -> None:
        """Comes back: another run, with no script known."""
        self.is_down = False
        self._starts += 1
        self.started_ms = self.db.now_ms()
        self.scripts.forget()

    def signal(self, number: signal.Signals) -> None:
        """What SIGSTOP and SIGCONT do to a process: see `pause` and `resume`."""
        {signal.SIGSTOP: self.pause, signal.SIGCONT: self.resume}[number]()

    def pause(self) -> None:
        """What is sent is neither done nor answered."""
        self.held_up = self.held_up if self.held_up is not None else []

    def resume(self) -> None:
        """Does all that was sent meanwhile, whether anyone still waits for it or not."""
        held_up, self.held_up = self.held_up or [], None
        for arrive in held_up:
            arrive()

    # ---- commands ------------------------------------------------------------------------------------------------

    def perform(
        self, commands: Sequence[list[bytes]], fault_of: Callable[[str], Fault | None] | None = None
    ) -> tuple[list[Reply], Fault | None]:
        """Does what arrived over one connection in one piece.

        Args:
            commands: The commands.
            fault_of: Asked instead of `fault`.

        Returns:
            The replies, those that are refusals as Refusal, and the fault that cut them short.
        """
        if (fault_of := fault_of or self.fault) is None:
            return [self._result(argv) for argv in commands], None
        replies: list[Reply] = []
        for argv in commands:
            fault = fault_of(self.name_of(argv))
            if fault is Fault.UNREACHABLE or fault is Fault.SILENT:
                return replies, fault
            self._fault_now = fault
            try:
                replies.append(self._result(argv))
            finally:
                self._fault_now = None
            if fault is Fault.REPLY_LOST or fault is Fault.SILENT_AFTER:
                return replies, fault
        return replies, None

    def _result(self, argv: list[bytes]) -> Reply:
        try:
            return self.run(argv)
        except Refusal as refusal:
            return refusal

    def run(self, argv: list[bytes]) -> Reply:
        """Runs one command.

        Raises:
            Refusal: Redis's own error reply.
        """
        self.count += 1
        db = self.db
        db.forget_expired()
        command = self._table.get(argv[0]) or self._find(argv)
        if self._fault_now is Fault.LOADING:
            raise Refusal(LOADING)
        if self._fault_now is Fault.FORBIDDEN:
            raise Refusal(FORBIDDEN)
        if command.grows and (self.is_full or self._fault_now is Fault.FULL):
            raise Refusal(OOM)
        if command.writes:
            self._refuse_write()
        reply = command.run(db, argv)
        if db.ready:
            self._wake()
        return reply

    def _refuse_write(self) -> None:
        if self.lacks_replicas:
            raise Refusal(NO_REPLICAS)
        if self.is_read_only or self._fault_now is Fault.READ_ONLY:
            raise Refusal(READ_ONLY)

    def _find(self, argv: list[bytes]) -> Command:
        """A command whose name is in small letters or of two words."""
        name = argv[0].upper()
        if name in CONTAINERS and len(argv) > 1:
            name += b" " + argv[1].upper()
        found = self._table.get(name)
        if found is None:
            raise UnsupportedError(name)
        return found

    def name_of(self, argv: list[bytes]) -> str:
        """The command's name in capitals; of one of our scripts its own name, in small letters."""
        name = argv[0].upper()
        if name == b"EVALSHA" and len(argv) > 1:
            return SCRIPT_NAMES.get(argv[1].lower(), "EVALSHA")
        if name == b"EVAL" and len(argv) > 1:
            return SCRIPT_NAMES.get(hashlib.sha1(argv[1], usedforsecurity=False).hexdigest().encode(), "EVAL")
        if name in CONTAINERS and len(argv) > 1:
            name += b" " + argv[1].upper()
        return name.decode()

    def time(self) -> list[bytes]:
        """What TIME answers. Within one millisecond it goes on by a microsecond each time: a command takes so long."""
        now_us = self.db.now_ms() * 1000
        self._time_us = min(self._time_us + 1, now_us + 999) if now_us <= self._time_us <= now_us + 999 else now_us
        return [b"%d" % (self._time_us // 10**6), b"%d" % (self._time_us % 10**6)]

    # ---- scripts -------------------------------------------------------------------------------------------------

    def run_script(self, digest: bytes, argv: list[bytes]) -> Reply:
        """Runs a script with the arguments of EVAL or EVALSHA."""
        key_count = int(argv[2])
        self._script_has_written = False
        return self.scripts.run(digest, argv[3 : 3 + key_count], argv[3 + key_count :])

    def _run_for_script(self, argv: list[bytes]) -> Reply:
        command = self._table.get(argv[0]) or self._find(argv)
        if command.writes:
            self._refuse_write()
            # A script whose first write frees memory is let through to its end.
            if command.grows and not self._script_has_written and (self.is_full or self._fault_now is Fault.FULL):
                raise Refusal(OOM)
            self._script_has_written = True
        return command.run(self.db, argv)

    # ---- who waits -----------------------------------------------------------------------------------------------

    def wait(self, waiter: Waiter) -> None:
        """Notes a read that waits; `stop_waiting` has to follow."""
        for key in dict(waiter.desired_status.after):
            self._waiting.setdefault(key, {})[waiter] = None
            self.db.waited[key] = self.db.waited.get(key, 0) + 1
        self.open[waiter.answer] = None

    def stop_waiting(self, waiter: Waiter) -> None:
        """Forgets it."""
        self.open.pop(waiter.answer, None)
        for key in dict(waiter.desired_status.after):
            self._waiting[key].pop(waiter, None)
            self.db.waited[key] -= 1
            if not self.db.waited[key]:
                del self.db.waited[key], self._waiting[key]

    def _wake(self) -> None:
        while self.db.ready:
            key = next(iter(self.db.ready))
            del self.db.ready[key]
            for waiter in self._waiting.get(key, ()):
                if not waiter.answer.done() and (found := read_now(self.db, waiter.desired_status)) is not None:
                    waiter.answer.set_result(found)


def _broken() -> Exception:
    from redis.exceptions import ConnectionError as RedisConnectionError

    return RedisConnectionError("Connection closed by server.")
