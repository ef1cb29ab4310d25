"""Desk feed: what all desks of a process follow, and their event streams.

One follower serves all, and a change is handled for the agents whom it concerns alone. What becomes of their commands
is in the logs of their sessions, which any process reads, so a desk's stream and its commands may use different ones.
"""

import asyncio
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial

import msgspec
from aiohttp import web

from conferral.operations.redis_access import RedisAccess
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.web.guard import connections_max
from conferral.statemachine.step import CommandStatus, DecisionKind
from conferral.storage.agents import Agent, Agents, AgentStatus, identities_of
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import parse_code, to_iso
from conferral.storage.command_stream import read_result
from conferral.webhooks.api import desk_models
from conferral.webhooks.api.streams import READY, EventStreams, Followed, OpenStreams, encode_event
from conferral.webhooks.desk.readers import DeskReader, DeskReaders
from conferral.webhooks.desk.session_view import SessionView, keeps_desk
from conferral.webhooks.desk.sign_ins import KnownSignIns
from conferral.webhooks.desk.team import Team
from conferral.webhooks.desk.tokens import DeskToken

#: Open streams of desks of a process (count); fewer if it may open few files, which Twilio's requests need first.
STREAMS_MAX = 2_000
#: Open streams of one identity (count): a further one ends another, which then opens none by itself.
OWN_STREAMS_MAX = 3
_REPLACED = encode_event("replaced", {})
#: Pause between two polls while desks follow: an agent waits for each change.
POLL_EVERY_S = 0.05
#: How often the presence of agents is read, seconds.
PRESENCE_EVERY_S = 1.0
#: How long the feed goes on after its last use, seconds: presence is renewed more often.
IDLE_S = 60.0
#: Newest log entries that are read of a session that a desk begins to see (count).
ENTRIES_FIRST = 50


@dataclass
class _Track:
    """How far a session's log was read for its desks' commands."""

    #: Id of the last entry read; empty before.
    position: str = ""
    #: Who sent each unfinished command.
    by: dict[str, str] = field(default_factory=dict)


class DeskFeed:
    """The live sessions by agent, the presence of agents, and all streams."""

    def __init__(
        self,
        streams: EventStreams,
        agents: Agents,
        metrics: Metrics,
        sign_ins: KnownSignIns,
        name_of: Callable[[str], str] = str,
        destinations: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._streams = streams
        self._view = partial(SessionView, metrics=metrics, name_of=name_of)
        self._sign_ins = sign_ins
        self._agents = agents
        self._metrics = metrics
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        streams_max = max(0, min(STREAMS_MAX, (files - connections_max()) // 2))
        self._open = OpenStreams[DeskReader](
            streams_max,
            lambda _max: OWN_STREAMS_MAX,
            "for this agent",
            metrics.desk_streams,
            metrics,
            finish_one=self._replace_one,
        )
        self._readers = DeskReaders(metrics)
        self._team = Team(destinations, self._readers)
        #: The live sessions of each identity, by id, and the identities of each.
        self._sessions: dict[str, dict[str, SessionView]] = {}
        self._identities: dict[str, frozenset[str]] = {}
        self._present: dict[str, Agent] = {}
        #: By session that a desk here sees, or has seen, until its end.
        self._tracks: dict[str, _Track] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._used_s = 0.0
        self._task: asyncio.Task[None] | None = None
        streams.listeners.append(self._on_change)

    def stop(self) -> None:
        """End all streams."""
        self._open.end()

    @property
    def is_following(self) -> bool:
        """Whether it follows sessions and agents."""
        return self._task is not None

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def send(
        self, request: web.Request, token: DeskToken, desk: str, must_end: Callable[[], bool]
    ) -> web.StreamResponse:
        """Send a desk's events until it leaves; may raise StoreError.

        `desk` is the id with which it renews its presence.
        """
        reader, identity = DeskReader(request, token, desk, must_end), token.identity
        with self._open.opened(reader):
            await self.follow()
            await self._track_from_now(identity)
            # From here on, the reader gets each change.
            self._readers.add(reader)
            try:
                self._push_presence(reader)
                for view in self._views_of(identity).values():
                    reader.push(view.event(identity))
                self._team.update_presence(self.agents())
                self._team.push_first(reader, self._streams.live)
                reader.push(READY)
                await reader.start()
                await reader.run()
            finally:
                self._readers.remove(reader)
        return reader.response

    async def follow(self) -> None:
        """Follow sessions and agents from now on; may raise StoreError."""
        self._used_s = asyncio.get_running_loop().time()
        if self._task is None:
            await self._read_presence()
        if self._task is None:
            self._streams.poll_every_s = POLL_EVERY_S
            self._streams.subscribe(self._wake)
            self._sessions, self._identities, self._tracks = {}, {}, {}
            self._team.reset()
            for name, followed in self._streams.live.items():
                self._index(name, self._view(followed))
            # Its log lines belong to no request's trace.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        if not self._streams.is_loaded:
            await self._streams.wait_for_poll()
        if self._streams.redis_error:
            raise StoreUnreachableError(self._streams.redis_error)

    def session_of(self, identity: str) -> str:
        """Return the id of an agent's oldest live session; or empty."""
        views = self._views_of(identity).values()
        return min(((one.followed.session.created_at_ms, one.followed.session.id) for one in views), default=(0, ""))[1]

    def parked(self, token: DeskToken) -> list[SessionView]:
        """Return the calls that the agent's team has parked, oldest first."""
        return self._team.parked(token, self._streams.live)

    def names(self, token: DeskToken) -> list[desk_models.DirectoryName]:
        """Return the directory's names that the agent may call."""
        self._team.update_presence(self.agents())
        return self._team.names(token)

    def agents(self) -> list[desk_models.Agent]:
        """Return the presence of all agents, as last read, by identity."""
        found = []
        for agent in self._present.values():
            session = self.session_of(agent.identity)
            status = AgentStatus.BUSY if session else agent.status
            since = to_iso(agent.since_ms)
            found.append(
                desk_models.Agent(agent.identity, agent.name, status, since, session or None, agent.reason or None)
            )
        return found

    def own_presence(self, token: DeskToken) -> desk_models.OwnPresence:
        """Return one agent's presence, as last read."""
        agent, session = self._present.get(token.identity), self.session_of(token.identity)
        status = agent.status if agent is not None else AgentStatus.AWAY
        return desk_models.OwnPresence(
            identity=token.identity,
            name=token.agent_name,
            status=AgentStatus.BUSY if session else status,
            since=to_iso(agent.since_ms) if agent is not None else None,
            session=session or None,
            reason=(agent.reason or None) if agent is not None else None,
            registered=(agent.registered or None) if agent is not None else None,
        )

    async def renew(self, token: DeskToken, desk: str, *, is_ready: bool, **more: bool) -> desk_models.OwnPresence:
        """Renew an agent's presence, and return it; may raise StoreError.

        `more` is as of `Agents.renew`. A desk that takes a call over is registered from now on.
        """
        await self.follow()
        identity = token.identity
        is_busy = any(keeps_desk(one.followed.session, identity) for one in self._views_of(identity).values())
        renew = partial(self._agents.renew, identity, token.agent_name, desk, token.sign_in)
        renewed = renew(is_ready=is_ready, is_busy=is_busy, **more)
        self._present[identity] = await self._streams.redis.limiter(renewed)
        for reader in self._readers.of(identity):
            self._push_presence(reader)
        return self.own_presence(token)

    def _replace_one(self, own: Sequence[DeskReader], new: DeskReader) -> DeskReader:
        """End an agent's oldest stream that is not the registered desk's.

        One that the same desk had before a loss of its network goes first: nothing reads it.
        """
        agent = self._present.get(new.owner)
        registered = agent.registered if agent is not None else ""
        former = (one for one in own if one.desk == new.desk != desk_models.DESK_DEFAULT)
        replaced = next(former, None) or next((one for one in own if one.desk != registered), own[0])
        replaced.finish(_REPLACED)
        return replaced

    def _views_of(self, identity: str) -> dict[str, SessionView]:
        """Return an agent's live sessions; Redis may have lost some."""
        live = self._streams.live
        return {name: view for name, view in self._sessions.get(identity, {}).items() if name in live}

    def _index(self, name: str, view: SessionView | None) -> frozenset[str]:
        """Remember whose session it is now; return whose it was."""
        before = self._identities.pop(name, frozenset())
        self._team.update_session(name, view)
        for identity in before:
            self._sessions[identity].pop(name)
            if not self._sessions[identity]:
                del self._sessions[identity]
        if view is not None and (now := identities_of(view.followed.session)):
            self._identities[name] = now
            for identity in now:
                self._sessions.setdefault(identity, {})[name] = view
        return before

    def _on_change(self, name: str, followed: Followed | None) -> None:
        """Send a session's change to those whom it concerns."""
        if self._task is None:
            return
        view = None if followed is None else self._view(followed)
        concerned = self._index(name, view) | self._identities.get(name, frozenset())
        readers = [(identity, one) for identity in concerned for one in self._readers.of(identity)]
        if view is None:
            self._tracks.pop(name, None)
            for _, reader in readers:
                reader.end()  # Redis has lost data: start over
            return
        if readers:
            events = {identity: view.event(identity) for identity, _ in readers}
            for identity, reader in readers:
                self._readers.push(reader, events[identity])
                self._push_presence(reader)
            self._tracks.setdefault(name, _Track())
        if name in self._tracks:
            self._due.add(name)

    def _push_presence(self, reader: DeskReader) -> None:
        """Send the agent's presence if it has changed."""
        if (presence := self.own_presence(reader.token)) != reader.presence:
            reader.presence = presence
            self._readers.push(reader, encode_event("presence", msgspec.to_builtins(presence)))

    async def _track_from_now(self, identity: str) -> None:
        """Read the logs of an agent's sessions for commands, from now on."""
        if names := [name for name in self._views_of(identity) if name not in self._tracks]:
            for name, last_id in (await self._streams.redis.run(lambda reader: reader.last_log_ids(names))).items():
                self._tracks.setdefault(name, _Track(last_id))

    async def _run(self) -> None:
        """Read logs and presence while anyone uses the feed."""
        loop = asyncio.get_running_loop()
        presence_s = loop.time()
        try:
            while self._readers or loop.time() - self._used_s < IDLE_S:
                with contain(ItemKind.TASK, self._metrics, passing=(StoreError,), task="desks"):
                    try:
                        await self._read_logs()
                        await self._end_what_is_over()
                        if loop.time() - presence_s >= PRESENCE_EVERY_S:
                            presence_s = loop.time()
                            await self._read_presence()
                    except StoreError as error:
                        log_unreachable(error, task="desks")
                if self._readers:
                    self._used_s = loop.time()
                await wait_at_most(self._wake, PRESENCE_EVERY_S / 4)
                self._wake.clear()
        finally:
            self._streams.unsubscribe(self._wake)
            self._streams.poll_every_s = None
            self._task = None

    async def _end_what_is_over(self) -> None:
        """End streams, and presence, of sign-ins that are over."""
        if await self._sign_ins.end_presence(self._present.values()):
            await self._read_presence()
        for reader in self._readers.all():
            if reader.is_gone:
                reader.end()

    async def _read_presence(self) -> None:
        found = await self._streams.redis.limiter(self._agents.list())
        self._present = {agent.identity: agent for agent in found}
        for reader in self._readers.all():
            self._push_presence(reader)
        self._team.update_presence(self.agents())

    async def _read_logs(self) -> None:
        """Send what the logs of changed sessions say of the desks' commands."""
        due, self._due = [name for name in self._due if name in self._tracks], set()
        if not due:
            return
        redis = self._streams.redis
        try:
            first = [name for name in due if not self._tracks[name].position]
            newest = await redis.run(lambda reader: reader.newest_entries(first, ENTRIES_FIRST)) if first else {}
            after = {name: self._tracks[name].position for name in due if self._tracks[name].position}
            later = await redis.run(lambda reader: reader.logs(after)) if after else {}
        except StoreError:
            self._due.update(due)
            raise
        for name, entries in (newest | later).items():
            if (track := self._tracks.get(name)) is None or not entries:
                continue
            track.position = entries[-1].id
            await self._send_commands(track, entries)
            if entries[-1].is_end:
                self._tracks.pop(name, None)

    async def _send_commands(self, track: _Track, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            reports = [(one["command"], one["status"], one["reason"], one["code"]) for one in entry.reports]
            if command := entry.command_id:
                track.by[command] = entry.by
                is_accepted = entry.outcome in (DecisionKind.MOVED, DecisionKind.STAYED)
                if is_accepted and command not in (one[0] for one in reports):
                    reports.insert(0, (command, CommandStatus.ACCEPTED, "", ""))
            for command, status, reason, code in reports:
                by = track.by.get(command) or await _sender_of(command, self._streams.redis)
                if status != CommandStatus.ACCEPTED:
                    track.by.pop(command, None)
                data = {"command": command, "status": status, "reason": reason, "code": parse_code(code)}
                for reader in self._readers.of(by.partition("/")[2]):
                    if reader.token.by == by:
                        self._readers.push(reader, encode_event("command", data))


async def _sender_of(command: str, redis: RedisAccess) -> str:
    """Return who sent a command that was accepted before its log was followed."""
    reader = await redis.reader()
    return (await redis.limiter(read_result(reader.client, reader.keys, command))).by
