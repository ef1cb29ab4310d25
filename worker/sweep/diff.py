"""Diff between the account's lists and the sessions. Pure.

Lists and callbacks may lag. So a call counts as missing only if it was connected for a while before the lists were
read. Other differences need a session that was quiet then, or earlier lists that showed them. A read decides.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from conferral.telephony.account_lists import AccountSnapshot

#: Per sweep, count: each leads to a read, and a wrong list must not lead to thousands. The rest follow later.
FINDINGS_MAX = 500
#: Maximum interval between reports of what outlives its session, as a power of two of sweeps.
REPORT_DOUBLINGS_MAX = 6
#: How far ahead of the lists a session's time can be without a step of Redis's clock, milliseconds: a long sweep.
FUTURE_MS = 120_000


class Difference(StrEnum):
    """Kinds of differences (`AccountSwept.finding`); LIVE: of ended sessions."""

    CALL_MISSING = "call-missing"
    CONFERENCE_MISSING = "conference-missing"
    #: The live session still has it ringing.
    CALL_ANSWERED = "call-answered"
    CALL_LIVE = "call-live"
    CONFERENCE_LIVE = "conference-live"
    #: Ours, but Redis has lost its session.
    CONFERENCE_UNKNOWN = "conference-unknown"
    #: Ours, but it came in while Redis was away.
    BRIDGE_UNKNOWN = "bridge-unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    difference: Difference
    session_id: str
    sid: str

    @property
    def is_of_ended(self) -> bool:
        """Whether it concerns an ended session; else a live one."""
        return self.difference in (Difference.CALL_LIVE, Difference.CONFERENCE_LIVE)

    @property
    def is_of_conference(self) -> bool:
        """Whether a conference differs; else a call."""
        return self.difference in (Difference.CONFERENCE_MISSING, Difference.CONFERENCE_LIVE)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What the sweep needs of a live session."""

    session_id: str
    #: Unix milliseconds of Redis's clock.
    updated_at_ms: int
    #: Empty without a conference.
    conference_sid: str
    #: Since when each known call is connected, by SID, Unix milliseconds of Redis's clock; for a ringing one, the
    #: session's last change, and without a time, its beginning.
    calls: Mapping[str, int]
    #: Those not answered, as far as is known.
    ringing_sids: tuple[str, ...] = ()
    #: Whether two are in the conference: no list need show one that has not started.
    is_listed: bool = True


class EndedSession(NamedTuple):
    """What the sweep needs of an ended session."""

    #: Unix milliseconds of Redis's clock.
    ended_at_ms: int
    conference_sids: frozenset[str]


class AccountDiff:
    """Compares one account with the sessions, session by session.

    Attributes:
        unconfirmed: SIDs of differences other than missing calls, in sessions that changed recently.
        unmatched_calls: SIDs of calls without a session so far.
        unmatched_conferences: Names of conferences without a session so far, by SID.
    """

    def __init__(
        self, account: AccountSnapshot, quiet_before_ms: int, unconfirmed_before: AbstractSet[str] = frozenset()
    ) -> None:
        self.sessions = 0
        self.findings: list[Finding] = []
        self.unconfirmed: set[str] = set()
        self.unmatched_calls = set(account.calls)
        self.unmatched_conferences = dict(account.conferences)
        self._account = account
        #: The lists may lack later events, Unix milliseconds.
        self._quiet_before_ms = quiet_before_ms
        #: These count even if the session has changed since: speaker events leave no session quiet.
        self._unconfirmed_before = unconfirmed_before

    def compare_live(self, session: LiveSession, *, is_behind: bool = False) -> None:
        """Add the session's first difference to the findings, if it is old enough.

        While its partition is behind, as after a takeover, only a missing call counts: the finding is appended behind
        the entries that wait, and costs no read if one of them was the call's end.
        """
        self.sessions += 1
        self.unmatched_calls.difference_update(session.calls)
        self.unmatched_conferences.pop(session.conference_sid, None)
        finding = self._find_missing_call(session)
        if finding is None and not is_behind:
            finding = self._find_other(session)
        if finding is not None:
            self.findings.append(finding)

    def _find_missing_call(self, session: LiveSession) -> Finding | None:
        """Return the first missing call that is old enough.

        One finding is enough, since the session then reads all its calls. The session need not be quiet: someone left
        alone may be pressing keys.
        """
        account = self._account
        if account.has_all_calls:
            for call_sid, since_ms in session.calls.items():
                if call_sid not in account.calls and self._is_old(since_ms):
                    return Finding(Difference.CALL_MISSING, session.session_id, call_sid)
        return None

    def _find_other(self, session: LiveSession) -> Finding | None:
        """Return the first other difference that is old or repeated."""
        account, conference_sid = self._account, session.conference_sid if session.is_listed else ""
        finding = None
        if answered := [call_sid for call_sid in session.ringing_sids if call_sid in account.answered]:
            finding = Finding(Difference.CALL_ANSWERED, session.session_id, answered[0])
        elif conference_sid and account.has_all_conferences and conference_sid not in account.conferences:
            finding = Finding(Difference.CONFERENCE_MISSING, session.session_id, conference_sid)
        if finding is None or self._is_old(session.updated_at_ms):
            return finding
        self.unconfirmed.add(finding.sid)
        return finding if finding.sid in self._unconfirmed_before else None

    def _is_old(self, at_ms: int) -> bool:
        """Whether the lists should show what happened then.

        A time of the future is from before a step of Redis's clock, which the session's worker does not follow.
        """
        return at_ms <= self._quiet_before_ms or at_ms > self._quiet_before_ms + FUTURE_MS

    def compare_ended(
        self, session_id: str, session: EndedSession, *, call_sid: str = "", conference_sid: str = ""
    ) -> None:
        """Add a finding for a live call or conference of an ended session."""
        if not self._is_old(session.ended_at_ms):
            return  # its end is still being processed
        if conference_sid and conference_sid not in session.conference_sids:
            return  # an app-chosen id may be another program's conference name
        if call_sid:
            self.findings.append(Finding(Difference.CALL_LIVE, session_id, call_sid))
        if conference_sid:
            self.findings.append(Finding(Difference.CONFERENCE_LIVE, session_id, conference_sid))


class DueFindings:
    """Remembers what was reported, for exponential backoff."""

    def __init__(self) -> None:
        #: By SID, for what outlives its session: number of reports, and the next sweep that reports it.
        self._reported: dict[str, tuple[int, int]] = {}
        #: The same, once the last selection is published.
        self._selected = self._reported

    def select(self, findings: Iterable[Finding], interval_number: int) -> list[Finding]:
        """Return the findings to publish in this sweep.

        Live calls of ended sessions cost money, so they come first, with backoff: each hang-up is retried for an hour,
        and a redirected customer may be meant to be there.
        """
        self._selected = {}
        due: list[Finding] = []
        for finding in sorted(findings, key=lambda finding: not finding.is_of_ended):
            reports, next_number = self._reported.get(finding.sid, (0, interval_number))
            is_due = interval_number >= next_number and len(due) < FINDINGS_MAX
            if is_due:
                due.append(finding)
            if finding.is_of_ended:
                following = interval_number + 2 ** min(reports, REPORT_DOUBLINGS_MAX)
                self._selected[finding.sid] = (reports + 1, following) if is_due else (reports, next_number)
        return due

    def note_published(self) -> None:
        """Remember that the selection is published; otherwise it is repeated."""
        self._reported = self._selected
