"""Account sweep (reconciliation with Twilio): reads, diffs, publishes.

Redis is read and written in pipelines of bounded size.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import (
    ConferralError,
    LeaseLostError,
    ProviderError,
    ProviderRefusedError,
    StoreError,
    StoreUnreachableError,
)
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import ConferenceFound, Event
from conferral.statemachine.ids import call_of_visit, next_visit_id
from conferral.statemachine.session import Session
from conferral.storage.connection.client import Client, ask, run_each, run_or_raise
from conferral.storage.entries import parse_entry_id
from conferral.storage.partition.partition_store import append_events
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.server import server_time_ms
from conferral.telephony.account_lists import AccountListReader, AccountSnapshot
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory import InboundRoute
from conferral.telephony.request_context import label_requests
from conferral.worker.core import TICK_S, WorkerCore
from conferral.worker.sweep.diff import (
    AccountDiff,
    Difference,
    Finding,
    RouteOfOwnBridge,
    UnknownBridge,
    call_sids_with_label,
    find_unknown_bridges,
    has_own_name,
    is_opened_by_wait_request,
)

log = structlog.get_logger()

#: Sessions that are read at a time, count.
CHUNK = 200
#: Findings published per sweep, count: each leads to a read, and a wrong list must not lead to thousands.
FINDINGS_MAX = 500
#: Conferences without a session checked per sweep, count: one request each, or two.
ORPHANS_MAX = 200
#: Age of a partition's oldest entry from which it is behind, and its sessions are left out.
BEHIND_MS = 10_000
#: Errors that end the whole sweep.
_CONTROL = (LeaseLostError, ProviderError, StoreError)


@dataclass(slots=True)
class _Sweep:
    """One sweep: what it has read, and what differs."""

    #: Counts the intervals since 1970; a sweep that is repeated within one has the same.
    interval_number: int
    account: AccountSnapshot
    diff: AccountDiff
    #: Partitions whose sessions it leaves out.
    behind: set[int] = field(default_factory=set)
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class SweepTimes:
    """The sweep's intervals, seconds."""

    #: Between the starts of two sweeps (`CONFERRAL_SWEEP_INTERVAL`).
    interval_s: float
    #: How old a call must be before the lists are read, and how long a session quiet: lists lag.
    quiet_s: float
    #: From the lists to the sessions: the callback of an ended call may be on its way.
    settle_s: float
    #: From a sweep that failed, skipped something, or found lost callbacks, to the next.
    again_after_s: float

    @classmethod
    def for_interval(cls, interval_s: float) -> "SweepTimes":
        """Return the standard intervals, scaled down for a short one."""
        return cls(
            interval_s,
            quiet_s=min(3.0, interval_s / 2),
            settle_s=min(1.0, interval_s / 4),
            again_after_s=min(4.0, interval_s),
        )


class Sweeper:
    """Sweeps the account while this worker owns the task."""

    def __init__(
        self,
        core: WorkerCore,
        *,
        account_lists: AccountListReader,
        names: ConferenceNames,
        times: SweepTimes,
        owns_sweep: Callable[[], bool],
        twilio_now_ms: Callable[[], int | None],
        route_of_own_bridge: RouteOfOwnBridge = lambda _call, _child: None,
        route_of: Callable[[str], InboundRoute] = lambda _called: InboundRoute(),
    ) -> None:
        self._core = core
        self._route_of = route_of
        self._route_of_own_bridge = route_of_own_bridge
        self._account_lists = account_lists
        self._names = names
        self._clock = core.clock
        self._metrics = core.metrics
        self._times = times
        self._client, self._keys = core.client, core.keys
        self._reader = SessionReader(core.client, core.keys)
        self._owns_sweep = owns_sweep
        #: Twilio's time, Unix milliseconds; None without an answer of Twilio's yet.
        self._twilio_now_ms = twilio_now_ms
        #: Monotonic seconds.
        self._next_sweep_s = float("-inf")
        #: The interval of the last complete sweep, counted from the epoch.
        self._last_interval_number = -1
        #: SIDs of unknown conferences that are other programs'.
        self._foreign: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep whenever this worker owns the task, until the stop.

        The stop interrupts a sweep: what it has published is a duplicate in the next one.
        """
        sweeping, stopping = asyncio.ensure_future(self._sweep_at_intervals()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sweeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sweeping, stopping):
                task.cancel()
        await asyncio.wait({sweeping})
        if not sweeping.cancelled():
            sweeping.result()

    async def _sweep_at_intervals(self) -> None:
        while True:
            wait_s = self._next_sweep_s - self._clock.monotonic_s()
            if not self._owns_sweep():
                self._next_sweep_s = float("-inf")  # immediately when it does, because owners may be short-lived
                await asyncio.sleep(TICK_S)
            elif wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                await self._sweep_tolerantly(self._clock.monotonic_s())

    async def _sweep_tolerantly(self, started_s: float) -> None:
        """Sweep once; after an error, count it, and sweep again soon."""
        self._next_sweep_s = started_s + self._times.interval_s
        is_soon = True
        try:
            with self._contained() as failure, label_requests("sweep"):
                await self._sweep(started_s)
            if not failure:
                return
        except _CONTROL as error:
            _log_abandoned(error)
            is_soon = not isinstance(error, ProviderRefusedError)
        self._metrics.sweeps.labels("given-up").inc()
        if is_soon:
            self._sweep_again_soon()

    def _require_ownership(self) -> None:
        """Raise LeaseLostError if others may sweep."""
        if not self._owns_sweep():
            raise LeaseLostError("another worker may sweep")

    def _contained(self) -> contain:
        """Contain an unexpected error in one part of a sweep, and skip the part."""
        return contain(ItemKind.SWEEP, self._metrics, passing=_CONTROL, task="sweep")

    def _sweep_again_soon(self) -> None:
        """Sweep soon: the interval is a long time for a caller who is alone."""
        self._next_sweep_s = min(self._next_sweep_s, self._clock.monotonic_s() + self._times.again_after_s)

    async def _sweep(self, started_s: float) -> None:
        """Read the account, compare it with the sessions, and publish findings."""
        started_ms = self._core.store_clock.now_ms()
        account = await self._account_lists.read()
        await asyncio.sleep(self._times.settle_s)
        quiet_before_ms = started_ms - round(self._times.quiet_s * 1000)
        interval_number = int(started_ms / 1000 / self._times.interval_s)
        sweep = _Sweep(interval_number, account, AccountDiff(account, quiet_before_ms))
        await self._compare(sweep)
        self._require_ownership()
        for part in (self._compare_ended, self._recover_bridges, self._recover_conferences):
            try:
                with self._contained() as failure:
                    await part(sweep)
                sweep.is_complete &= not failure
            except StoreUnreachableError as error:  # the other parts count
                sweep.is_complete = False
                log_unreachable(error, task="sweep")
        interval_ms, last = 1000 * self._times.interval_s, self._last_interval_number
        due = (one for one in sweep.diff.findings if one.is_due(interval_ms, interval_number, last))
        # Live calls of ended sessions cost money, so they come first.
        findings = sorted(due, key=lambda finding: not finding.is_of_ended)[:FINDINGS_MAX]
        await append_events(self._client, self._keys, [one.event(interval_number) for one in findings])
        if sweep.is_complete:
            self._last_interval_number = interval_number
        # If callbacks are being lost, the next one may leave someone alone.
        has_loss = any(not finding.is_of_ended for finding in findings)
        if sweep.behind or not sweep.is_complete or has_loss:
            self._sweep_again_soon()
        self._log_sweep(sweep, findings, self._clock.monotonic_s() - started_s)

    async def _compare(self, sweep: _Sweep) -> None:
        """Compare every live session; add skipped partitions to `sweep.behind`."""
        count = self._keys.partitions
        # Each sweep starts at another partition, so that each gets its turn under the limit.
        for number in ((sweep.interval_number + step) % count for step in range(count)):
            is_compared = False
            try:
                with self._contained():
                    is_compared = await self._compare_partition(number, sweep.diff)
            except StoreUnreachableError:
                raise
            except StoreError as error:  # another program's key, such as a string instead of the set
                _log_abandoned(error, partition=number)
            if not is_compared:
                sweep.behind.add(number)

    async def _compare_partition(self, number: int, diff: AccountDiff) -> bool:
        """Compare a partition's live sessions; return False if it is behind."""
        if await _oldest_age_ms(self._client, self._keys.events(number)) >= BEHIND_MS:
            return False
        names = await ask(self._client, "SMEMBERS", self._keys.live(number))
        # Sorted, so that a simulation repeats for a given seed.
        session_ids = sorted(name.decode(errors="replace") for name in names)
        for start in range(0, len(session_ids), CHUNK):
            for session in (await self._reader.read_sessions(session_ids[start : start + CHUNK])).values():
                if session.is_live:
                    diff.compare_live(session)
        return True

    async def _compare_ended(self, sweep: _Sweep) -> None:
        """Add findings for what is live though its session has ended."""
        diff = sweep.diff
        # Sorted, as above.
        of_calls = await self._reader.session_ids_of_calls(sorted(diff.unmatched_calls))
        of_conferences = {sid: self._session_id_of(name) for sid, name in diff.unmatched_conferences.items()}
        ended = await self._ended_sessions(sweep, (*of_calls.values(), *of_conferences.values()))
        for call_sid, session_id in of_calls.items():
            # A call that talks to a leg no session knows was bridged again, while Redis was away.
            talks = any(child.call_sid not in of_calls for child in sweep.account.children.get(call_sid, ()))
            if session_id in ended and not talks:
                diff.compare_ended(ended[session_id], call_sid=call_sid)
        for conference_sid, session_id in of_conferences.items():
            if session_id in ended:
                diff.compare_ended(ended[session_id], conference_sid=conference_sid)

    def _session_id_of(self, conference_name: str) -> str:
        """Return the session that a conference's name stands for, if it is ours."""
        return self._names.session_of(conference_name) or conference_name

    def _is_older(self, sweep: _Sweep, sid: str, age_s: float) -> bool:
        """Whether Twilio created it so long ago that its events have arrived."""
        created_ms, now_ms = sweep.account.created_at_ms.get(sid), self._twilio_now_ms()
        return created_ms is not None and now_ms is not None and now_ms - created_ms >= age_s * 1000

    async def _recover_bridges(self, sweep: _Sweep) -> None:
        """Open sessions for bridged calls that are older than an interval."""
        found = [
            one
            for one in find_unknown_bridges(sweep.account, sweep.diff.unmatched_calls, self._route_of_own_bridge)
            if self._is_older(sweep, one.child.call_sid, self._times.interval_s)
            and self._keys.partition_of(one.call_sid) not in sweep.behind
        ]
        known = await self._reader.session_ids_of_calls(
            [sid for one in found for sid in (one.call_sid, one.child.call_sid)]
        )
        last = {one.call_sid: known.get(one.call_sid, "") for one in found if one.child.call_sid not in known}
        ended = await self._ended_sessions(sweep, filter(None, last.values()))
        for one in [one for one in found if last.get(one.call_sid) in ("", *ended)][:ORPHANS_MAX]:
            await self._open_bridge(one, last[one.call_sid])

    async def _open_bridge(self, bridge: UnknownBridge, ended_id: str) -> None:
        """Publish an unknown bridge, unless a request has opened its session.

        `ended_id` is the call's last session, empty if it is the first.
        """
        session_id = bridge.call_sid
        if ended_id:
            session_id = new_id = next_visit_id(bridge.call_sid, ended_id)
            claim = self._core.call_index.claim_visit(bridge.call_sid, ended_id, new_id)
            (claimed,) = await run_or_raise(self._client, claim)
            if claimed.decode(errors="replace") != new_id:
                return
        await self._open_session(bridge.events(session_id), [bridge.call_sid, bridge.child.call_sid])
        self._metrics.sweep_findings.labels(Difference.BRIDGE_UNKNOWN.value).inc()
        log.warning("bridge_recovered", session_id=session_id, call_sid=bridge.child.call_sid)

    async def _recover_conferences(self, sweep: _Sweep) -> None:
        """Recover our lost conferences, once their sessions must have opened."""
        age_s = min(self._times.interval_s, BEHIND_MS / 1000)
        conferences = sweep.diff.unmatched_conferences
        self._foreign &= conferences.keys()
        sessions = {
            sid: self._session_id_of(name)
            for sid, name in conferences.items()
            if self._names.session_of(name) or has_own_name(name)
        }
        checked = [
            sid
            for sid, session_id in sessions.items()
            if sid not in self._foreign
            and self._is_older(sweep, sid, age_s)
            and self._keys.partition_of(session_id) not in sweep.behind
        ]
        exists = await run_each(self._client, [("EXISTS", self._keys.session(sessions[sid])) for sid in checked])
        lost = sweep.diff.lost_conferences
        unknown = [sid for sid, is_known in zip(checked, exists, strict=True) if not is_known or sid in lost]
        for conference_sid in sorted(unknown, key=sweep.account.created_at_ms.__getitem__)[:ORPHANS_MAX]:
            self._require_ownership()
            with self._contained():
                await self._recover_conference(sweep, conference_sid, sessions[conference_sid])

    async def _recover_conference(self, sweep: _Sweep, conference_sid: str, session_id: str) -> None:
        """Recover a conference if its participants show that it is ours."""
        account = sweep.account
        participants = await self._account_lists.participants_of(conference_sid, account.own_calls)
        name = account.conferences[conference_sid]
        ours, has_digest = call_sids_with_label(participants), bool(self._names.session_of(name))
        if not ours or not (has_digest or await _is_any_own(self._account_lists, account, ours, call_of_visit(name))):
            if participants and account.has_all_calls:  # else it may still be ours
                self._foreign.add(conference_sid)
            return
        if is_opened_by_wait_request(participants, has_started=conference_sid not in account.waiting):
            return
        if (ended := sweep.diff.lost_conferences.get(conference_sid)) is not None:
            if len(participants) == 1:  # several have each other
                finding = Finding(Difference.CONFERENCE_LIVE, session_id, conference_sid, ended.ended_at_ms)
                sweep.diff.findings.append(finding)
            return
        route = self._route_of(next((one.called for one in participants if one.came_in), ""))
        found = ConferenceFound(
            session_id=session_id,
            token=f"sweep:{sweep.interval_number}:{Difference.CONFERENCE_UNKNOWN}:{conference_sid}",
            conference_sid=conference_sid, participants=tuple(participants), fallback=route.places, queue=route.queue,
            conference_name=name,
        )  # fmt: skip
        await self._open_session([found], [participant.call_sid for participant in participants])
        self._metrics.sweep_findings.labels(Difference.CONFERENCE_UNKNOWN.value).inc()
        log.warning(
            "conference_recovered", session_id=session_id, conference_sid=conference_sid, count=len(participants)
        )

    async def _open_session(self, events: Sequence[Event], call_sids: Iterable[str]) -> None:
        """Index a session's calls, and publish the events that open it."""
        session_id = events[0].session_id
        claims = (self._core.call_index.claim(sid, session_id) for sid in call_sids)
        await run_or_raise(self._client, *claims)
        await append_events(self._client, self._keys, events)

    async def _ended_sessions(self, sweep: _Sweep, session_ids: Iterable[str]) -> dict[str, Session]:
        """Return the sessions that have ended, except of partitions behind."""
        names = [name for name in dict.fromkeys(session_ids) if self._keys.partition_of(name) not in sweep.behind]
        found = await self._reader.read_sessions(names)
        return {name: one for name, one in found.items() if not one.is_live and one.ended_at_ms}

    def _log_sweep(self, sweep: _Sweep, findings: list[Finding], duration_s: float) -> None:
        account = sweep.account
        self._metrics.sweeps.labels("done").inc()
        self._metrics.sweep_seconds.observe(duration_s)
        self._metrics.sweep_last_success.set(self._clock.wall_ms() / 1000)
        self._metrics.sweep_pages.labels("calls").inc(account.call_pages)
        self._metrics.sweep_pages.labels("conferences").inc(account.conference_pages)
        for difference, count in Counter(finding.difference.value for finding in findings).items():
            self._metrics.sweep_findings.labels(difference).inc(count)
        if foreign := self._reader.foreign_keys:
            log.error("records_skipped", names=sorted(foreign), task="sweep")
            foreign.clear()
        is_truncated = not (account.has_all_calls and account.has_all_conferences)
        log.info(
            "account_swept",
            calls=len(account.calls),
            conferences=len(account.conferences),
            pages=account.call_pages + account.conference_pages,
            sessions=sweep.diff.sessions,
            findings=len(findings),
            behind=len(sweep.behind),
            duration_ms=round(duration_s * 1000),
            reason="some records can't be read" if is_truncated else "",
        )


async def _oldest_age_ms(client: Client, stream: str) -> int:
    """Return the age of a stream's oldest entry; 0 without one."""
    oldest = await ask(client, "XRANGE", stream, "-", "+", "COUNT", 1)
    return await server_time_ms(client, stream) - parse_entry_id(oldest[0][0].decode())[0] if oldest else 0


def _log_abandoned(error: ConferralError, **fields: int) -> None:
    status, code, reason = 0, 0, str(error)
    if isinstance(error, ProviderError):
        status, code, reason = error.http_status, error.code, ""
    kind = type(error).__name__
    log.warning("sweep_abandoned", error_type=kind, status=status, code=code, reason=reason, **fields)


async def _is_any_own(
    lists: AccountListReader, account: AccountSnapshot, call_sids: set[str], named_after: str
) -> bool:
    """Whether one of these calls, or the one of a name, is ours."""
    return not call_sids.isdisjoint(account.own_calls) or (bool(named_after) and await lists.is_own_call(named_after))
