"""Agents: everyone in the directory, and everyone with a desk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from conferral.console.messages import encode_message
from conferral.console.page_view import PageMessage, View
from conferral.console.report import DayReports
from conferral.console.session_feed import SessionFeed
from conferral.operations.explain.naming import with_names
from conferral.operations.explain.people import party_since_ms, people_line
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.report import OutcomeReport
from conferral.runtime.clock import Clock
from conferral.runtime.redaction import display_address
from conferral.runtime.zones import find_zone
from conferral.statemachine.session import CUSTOMER, Session
from conferral.storage.agents import Agent, Agents
from conferral.storage.codecs.text_codec import to_iso

#: Interval of reading presence and calls, seconds.
READ_EVERY_S = 1.0
#: Of someone on a call, and of someone whose presence no desk tells.
BUSY, UNKNOWN = "busy", "not on a call"


@dataclass(slots=True)
class _Row:
    """One agent, in full."""

    name: str
    address: str
    status: str = UNKNOWN
    since_ms: int = 0
    calls: list[dict[str, str]] = field(default_factory=list)


class AgentsView(View):
    """The agents as sent to one page."""

    def __init__(
        self, feed: SessionFeed, redis: RedisAccess, clock: Clock, reports: DayReports, message: PageMessage
    ) -> None:
        self._feed = feed
        self._redis = redis
        self._clock = clock
        self._reports = reports
        self._full = message.full
        self._zone = find_zone(message.zone)
        self._read_at_s = 0.0

    async def new_messages(self) -> list[bytes]:
        """Return all agents, if anything has changed."""
        now_s = self._clock.monotonic_s()
        if now_s < self._read_at_s or not self._feed.is_loaded:
            return []
        now_ms = self._feed.now_ms()
        desks = await self._redis.run(lambda reader: Agents(reader.client, reader.keys).read(now_ms))
        report = await self._reports.read(None, self._zone)
        self._read_at_s = now_s + READ_EVERY_S
        sessions = [one.session for one in self._feed.live.values()]
        rows = agent_rows(self._feed.directory(), self._feed.people(), desks, sessions, full=self._full)
        return self._if_changed(
            encode_message("agents", agents=[_public(row, report, full=self._full) for row in rows])
        )


def agent_rows(
    directory: Mapping[str, str],
    people: Mapping[str, str],
    desks: Iterable[Agent],
    sessions: Iterable[Session],
    *,
    full: bool,
) -> list[_Row]:
    """Return everyone in the directory or with a desk, and their calls.

    `people` are the names of agents at desks, by address.
    """
    rows = {address: _Row(name, address) for name, address in directory.items()}
    rows |= {address: _Row(name, address) for address, name in people.items()}
    for desk in desks:
        address = f"client:{desk.identity}"
        row = rows.setdefault(address, _Row(desk.name or desk.identity, address))
        row.status, row.since_ms = desk.status, desk.since_ms
    for session in sessions:
        shown = people_line(with_names(session, people), full=full)
        for name, party in session.present.items():
            if name == CUSTOMER or party.address not in rows:
                continue
            row = rows[party.address]
            since_ms = party_since_ms(session, party)
            # The person's time, of the longest call.
            row.since_ms = since_ms if row.status != BUSY else min(row.since_ms, since_ms)
            row.status = BUSY
            call = {"id": session.id, "people": shown, "party": name, "status": party.status}
            row.calls.append(call | {"since": to_iso(since_ms)})
    return sorted(rows.values(), key=attrgetter("name", "address"))


def _public(row: _Row, report: OutcomeReport, *, full: bool) -> dict[str, object]:
    talked = report.agents.get(row.address)
    return {
        "name": display_address(row.name, full=full),
        "address": display_address(row.address, full=full),
        "status": row.status,
        "since": to_iso(row.since_ms) if row.since_ms else None,
        "calls": row.calls,
        "missed": report.missed(row.address),
        "talk_s": round(talked.talk_s) if talked else 0,
    }
