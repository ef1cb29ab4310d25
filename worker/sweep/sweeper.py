"""Account sweep (reconciliation with Twilio): reads, diffs, publishes."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from conferral.runtime.clock import TICK_S, until_tick_s
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import (
    ConferralError,
    LeaseLostError,
    ProviderBusyError,
    ProviderError,
    ProviderRefusedError,
    StoreError,
    StoreUnreachableError,
)
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import ConferenceFound
from conferral.storage.connection.client import is_cluster
from conferral.telephony.account_lists import AccountListReader, AccountSnapshot
from conferral.telephony.conference_lists import ConferenceNames
from conferral.telephony.http_client import label_requests
from conferral.worker.core import WorkerCore
from conferral.worker.sweep.diff import AccountDiff, Difference, DueFindings, EndedSession, Finding
from conferral.worker.sweep.orphans import OrphanedConferences, has_own_name, is_ours
from conferral.worker.sweep.session_recovery import adopt_conference
from conferral.worker.sweep.store import BEHIND_MS, FAR_BEHIND_MS, SweepStore, chunks
from conferral.worker.sweep.unknown_bridges import RouteOfOwnDial, find_unknown_bridges

log = structlog.get_logger()

#: Polling interval for a due sweep under a held lease, seconds; for a lost one, it is a tick.
HELD_TICK_S = 2.0
#: Sessions, calls, and findings between lease checks, count.
CHUNK = 200
#: Conferences without a session checked per sweep, count: one request each.
ORPHANS_MAX = 200


class StoppingError(ConferralError):
    """The process stops: abandon the sweep; the next owner starts over."""


#: Errors that end the whole sweep.
_CONTROL = (StoppingError, LeaseLostError, ProviderError, StoreError)


@dataclass(frozen=True, slots=True)
class SweepTimes:
    """The sweep's intervals, seconds."""

    #: Between the starts of two sweeps (`CONFERRAL_SWEEP_INTERVAL`).
    interval_s: float
    #: How old a call must be before the lists are read, and how long a session quiet: lists lag.
    quiet_s: float
    #: From the lists to the sessions: the callback of an ended call may be on its way.
    settle_s: float
    #: Between sweeps after the first has found lost callbacks.
    after_loss_s: float = math.inf
    #: From a sweep that failed, or skipped something, to the next.
    again_after_s: float = 4.0

    @classmethod
    def for_interval(cls, interval_s: float) -> "SweepTimes":
        """Return the standard intervals, scaled down for a short one."""
        return cls(
            interval_s,
            quiet_s=min(3.0, interval_s / 2),
            settle_s=min(1.0, interval_s / 4),
            after_loss_s=min(5.0, interval_s),
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
        is_ours: Callable[[], bool],
        route_of_own_dial: RouteOfOwnDial = lambda _call, _child: None,
    ) -> None:
        self._core = core
        self._route_of_own_dial = route_of_own_dial
        #: SIDs of calls that the last sweep found bridged without a session.
        self._unknown_bridges: set[str] = set()
        self._account_lists = account_lists
        self._names = names
        self._clock = core.clock
        self._metrics = core.metrics
        self._times = times
        self._store = SweepStore(core.client, core.keys, core.metrics)
        self._is_ours = is_ours
        #: Monotonic seconds; infinite while another worker sweeps.
        self._next_sweep_s = math.inf
        self._due_findings = DueFindings()
        #: Since when differences are unconfirmed, by SID, Unix milliseconds.
        self._unconfirmed: dict[str, int] = {}
        self._orphans = OrphanedConferences()

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep whenever this worker owns the task, until the stop."""
        while not stop.is_set():
            if not self._is_ours():
                self._next_sweep_s = math.inf
                await pause(stop, until_tick_s(TICK_S))
                continue
            is_first = self._next_sweep_s == math.inf  # at once, because owners may be short-lived
            wait_s = 0.0 if is_first else self._next_sweep_s - self._clock.monotonic_s()
            if wait_s > 0:
                await pause(stop, until_tick_s(min(HELD_TICK_S, wait_s)))
                continue
            started_s = self._clock.monotonic_s()
            self._next_sweep_s = started_s + self._times.interval_s
            try:
                with self._boundary() as boundary, label_requests("sweep"):
                    if is_first:
                        await self._restore_orphans()
                    await self._sweep(stop, started_s)
            except StoppingError:
                return
            except (ProviderError, StoreError, LeaseLostError) as error:
                self._give_up(error)
            if boundary.unexpected is not None:
                self._metrics.sweeps.labels("given-up").inc()
                self._sweep_again_soon()

    async def _restore_orphans(self) -> None:
        """Continue the last owner's: short-lived ones see none for long enough."""
        time = self._core.store_clock
        self._orphans.restore(await self._store.unknown_since_ms(time.offset_ms), time.now_ms())

    def _require_ours(self, stop: asyncio.Event) -> None:
        """Raise StoppingError at a stop, LeaseLostError if others may sweep."""
        if stop.is_set():
            raise StoppingError("the process stops")
        if not self._is_ours():
            raise LeaseLostError("another worker may sweep")

    def _boundary(self) -> contain:
        """Contain an unexpected error in one part of a sweep, and skip the part."""
        return contain(ItemKind.SWEEP, self._metrics, passing=_CONTROL, task="sweep")

    def _give_up(self, error: ConferralError) -> None:
        if not isinstance(error, ProviderRefusedError | ProviderBusyError):
            self._sweep_again_soon()
        self._metrics.sweeps.labels("given-up").inc()
        self._log_given_up(error)

    def _log_given_up(self, error: ConferralError, **fields: int) -> None:
        status, code, reason = 0, 0, str(error)
        if isinstance(error, ProviderError):
            status, code, reason = error.http_status, error.code, ""
        kind = type(error).__name__
        log.warning("sweep_abandoned", error_type=kind, status=status, code=code, reason=reason, **fields)

    def _sweep_again_soon(self) -> None:
        """Sweep soon: the interval is a long time for a caller who is alone."""
        self._next_sweep_s = min(self._next_sweep_s, self._clock.monotonic_s() + self._times.again_after_s)

    async def _sweep(self, stop: asyncio.Event, started_s: float) -> None:
        started_ms = self._core.store_clock.now_ms()
        account = await self._read_account(stop)
        await pause(stop, self._times.settle_s)
        quiet_before_ms = started_ms - round(self._times.quiet_s * 1000)
        unconfirmed_before = {sid for sid, since_ms in self._unconfirmed.items() if since_ms <= quiet_before_ms}
        # Session times follow Redis's clock, however it was set.
        diff = AccountDiff(account, quiet_before_ms - self._core.store_clock.offset_ms, unconfirmed_before)
        interval_number = int(started_ms / 1000 / self._times.interval_s)
        behind = await self._compare(diff, interval_number, stop)
        self._unconfirmed = {sid: self._unconfirmed.get(sid, started_ms) for sid in diff.unconfirmed}
        is_complete = await self._run_part(self._find_ended(account, diff, behind, stop))
        is_complete &= await self._run_part(self._find_bridges(account, diff, behind, stop))
        orphans = self._find_orphans(account, diff, behind, quiet_before_ms, stop, interval_number)
        is_complete &= await self._run_part(orphans)
        findings = self._due_findings.select(diff.findings, interval_number)
        for batch in chunks(findings, CHUNK):
            self._require_ours(stop)
            with self._boundary() as boundary:
                await self._store.publish(batch, interval_number)
            is_complete &= boundary.unexpected is None
        if is_complete:
            self._due_findings.note_published()
        if behind or not is_complete:
            self._sweep_again_soon()
        elif any(not finding.is_of_ended for finding in findings):
            # Callbacks are being lost: the next one may leave someone alone.
            self._next_sweep_s = min(self._next_sweep_s, started_s + self._times.after_loss_s)
        self._log_sweep(account, diff, findings, len(behind), self._clock.monotonic_s() - started_s)

    async def _run_part(self, part: Awaitable[None]) -> bool:
        """Run a part of a sweep; return False if it failed. Other parts count."""
        try:
            with self._boundary() as boundary:
                await part
        except StoreUnreachableError as error:
            log_unreachable(error, task="sweep")
            return False
        return boundary.unexpected is None

    async def _read_account(self, stop: asyncio.Event) -> AccountSnapshot:
        reading = asyncio.ensure_future(self._account_lists.read(lambda: self._require_ours(stop)))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not reading.done():
            reading.cancel()  # lists change nothing
            await asyncio.wait({reading})
            raise StoppingError("the process stops")
        return reading.result()

    async def _compare(self, diff: AccountDiff, interval_number: int, stop: asyncio.Event) -> set[int]:
        """Compare every live session; return the skipped partitions."""
        behind = set()
        count = self._core.keys.partitions
        # Each sweep starts at another partition, so that each gets its turn under the limit.
        for number in ((interval_number + step) % count for step in range(count)):
            self._require_ours(stop)
            is_compared = False
            try:
                with self._boundary():
                    is_compared = await self._compare_partition(number, diff, stop)
            except StoreUnreachableError as error:
                if not is_cluster(self._core.client):
                    raise
                log_unreachable(error, task="sweep")  # other nodes' sessions are compared
            except StoreError as error:  # another program's key, such as a string instead of the set
                self._log_given_up(error, partition=number)
            if not is_compared:
                behind.add(number)
        return behind

    async def _compare_partition(self, number: int, diff: AccountDiff, stop: asyncio.Event) -> bool:
        """Compare a partition's live sessions; return False if it is behind."""
        lag_ms = await self._store.lag_ms(number, self._core.store_clock.store_now_ms())
        if lag_ms >= FAR_BEHIND_MS:
            return False
        is_behind = lag_ms >= BEHIND_MS
        for batch in chunks(await self._store.live_ids(number), CHUNK):
            self._require_ours(stop)
            for session in await self._store.live_sessions(batch):
                diff.compare_live(session, is_behind=is_behind)
        return not is_behind

    async def _find_bridges(
        self, account: AccountSnapshot, diff: AccountDiff, behind: set[int], stop: asyncio.Event
    ) -> None:
        """Open sessions for bridged calls that were unknown before, too."""
        found = find_unknown_bridges(account, diff.unmatched_calls, self._route_of_own_dial)
        known = await self._store.session_ids_of_calls(
            [sid for one in found for sid in (one.call_sid, one.child.call_sid)]
        )
        last = {one.call_sid: known.get(one.call_sid, "") for one in found if one.child.call_sid not in known}
        ended = await self._ended_sessions(filter(None, last.values()), behind)
        unknown = [one for one in found if last.get(one.call_sid) in ("", *ended)]
        before, self._unknown_bridges = self._unknown_bridges, {one.call_sid for one in unknown}
        for one in [one for one in unknown if one.call_sid in before][:ORPHANS_MAX]:
            self._require_ours(stop)
            if session_id := await self._store.open_bridge(one, last[one.call_sid]):
                self._metrics.sweep_findings.labels(Difference.BRIDGE_UNKNOWN.value).inc()
                log.warning("bridge_recovered", session_id=session_id, call_sid=one.child.call_sid)

    async def _find_ended(
        self, account: AccountSnapshot, diff: AccountDiff, behind: set[int], stop: asyncio.Event
    ) -> None:
        """Match calls and conferences without a live session with ended ones."""
        # Sorted, so that a simulation repeats for a given seed.
        session_ids: dict[str, str] = {}
        for calls in chunks(sorted(diff.unmatched_calls), CHUNK):
            self._require_ours(stop)
            session_ids |= await self._store.session_ids_of_calls(calls)
        for some in chunks(session_ids.items(), CHUNK):
            self._require_ours(stop)
            ended = await self._ended_sessions((session_id for _, session_id in some), behind)
            for call_sid, session_id in some:
                # A call that talks to a leg no session knows was bridged again, while Redis was away.
                talks = any(child.call_sid not in session_ids for child in account.children.get(call_sid, ()))
                if session_id in ended and not talks:
                    diff.compare_ended(session_id, ended[session_id], call_sid=call_sid)
        sessions = {sid: self._names.session_of(name) or name for sid, name in diff.unmatched_conferences.items()}
        for conferences in chunks(sessions.items(), CHUNK):
            self._require_ours(stop)
            ended = await self._ended_sessions((session_id for _, session_id in conferences), behind)
            for conference_sid, session_id in conferences:
                if session_id in ended:
                    diff.compare_ended(session_id, ended[session_id], conference_sid=conference_sid)

    async def _find_orphans(
        self,
        account: AccountSnapshot,
        diff: AccountDiff,
        behind: set[int],
        unknown_before_ms: int,
        stop: asyncio.Event,
        interval_number: int,
    ) -> None:
        """Adopt our lost conferences, except in partitions that are `behind`."""
        sessions = {
            sid: self._names.session_of(name) or (name if has_own_name(name) else "")
            for sid, name in diff.unmatched_conferences.items()
        }
        own_conferences = {sid: session_id for sid, session_id in sessions.items() if session_id}
        checked = {
            sid: session_id
            for sid, session_id in own_conferences.items()
            if self._core.keys.partition_of(session_id) not in behind
        }
        unknown: list[str] = []
        for batch in chunks(checked.items(), CHUNK):
            self._require_ours(stop)
            lost = await self._store.find_unknown([session_id for _, session_id in batch])
            unknown += [sid for sid, session_id in batch if session_id in lost]
        unchecked, before = own_conferences.keys() - checked.keys(), self._orphans.since_ms
        due = self._orphans.due(unknown, self._core.store_clock.now_ms(), unknown_before_ms, unchecked)
        if (since_ms := self._orphans.since_ms) != before:
            try:
                await self._store.save_unknown(since_ms, self._core.store_clock.offset_ms)
            except StoreError as error:
                log_unreachable(error, task="sweep")  # the next owner can do without (a full Redis)
        for conference_sid in due[:ORPHANS_MAX]:
            self._require_ours(stop)
            found = ConferenceFound(
                session_id=checked[conference_sid],
                token=f"sweep:{interval_number}:{Difference.CONFERENCE_UNKNOWN}:{conference_sid}",
                conference_sid=conference_sid,
                participants=(),
                conference_name=diff.unmatched_conferences[conference_sid],
            )
            with self._boundary():
                await self._recover(found, account, stop)

    async def _recover(self, found: ConferenceFound, account: AccountSnapshot, stop: asyncio.Event) -> None:
        participants = await self._account_lists.participants_of(found.conference_sid, account.own_calls)
        if not is_ours(participants, account.own_calls):
            if participants and account.has_all_calls:  # else it may still be ours
                self._orphans.ignore(found.conference_sid)
            return
        self._require_ours(stop)
        found = replace(found, participants=tuple(participants))
        await adopt_conference(self._store, found, self._metrics)

    async def _ended_sessions(self, session_ids: Iterable[str], behind: set[int]) -> dict[str, EndedSession]:
        names = [name for name in dict.fromkeys(session_ids) if self._core.keys.partition_of(name) not in behind]
        return await self._store.ended_sessions(names)

    def _log_sweep(
        self, account: AccountSnapshot, diff: AccountDiff, findings: list[Finding], behind: int, duration_s: float
    ) -> None:
        self._metrics.sweeps.labels("done").inc()
        self._metrics.sweep_seconds.observe(duration_s)
        self._metrics.sweep_last_success.set(self._clock.wall_ms() / 1000)
        self._metrics.sweep_pages.labels("calls").inc(account.call_pages)
        self._metrics.sweep_pages.labels("conferences").inc(account.conference_pages)
        for difference, count in Counter(finding.difference.value for finding in findings).items():
            self._metrics.sweep_findings.labels(difference).inc(count)
        is_truncated = not (account.has_all_calls and account.has_all_conferences)
        log.info(
            "account_swept",
            calls=len(account.calls),
            conferences=len(account.conferences),
            pages=account.call_pages + account.conference_pages,
            sessions=diff.sessions,
            findings=len(findings),
            behind=behind,
            duration_ms=round(duration_s * 1000),
            reason="more is live than is read" if is_truncated else "",
        )
