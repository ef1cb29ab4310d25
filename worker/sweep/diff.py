"""Diff between the account's lists and the sessions. Pure: reads and publishes nothing.

Lists may lag, and so may callbacks. So a call counts as missing only if it had been connected for a while before the
lists were read. Any other difference counts only if the session was quiet for that while, or if earlier lists showed
it, too. Even then it is a suspicion, and a read from Twilio decides.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from conferral.telephony.account_lists import AccountSnapshot


class Difference(StrEnum):
    """Kinds of differences; the values of `AccountSwept.finding`."""

    #: A call of a live session is missing from the list.
    CALL_MISSING = "call-missing"
    #: A conference of a live session is missing from the list.
    CONFERENCE_MISSING = "conference-missing"
    #: A call of a live session has been answered, but the session still has it ringing.
    CALL_ANSWERED = "call-answered"
    #: A call of an ended session is live.
    CALL_LIVE = "call-live"
    #: A conference of an ended session is live.
    CONFERENCE_LIVE = "conference-live"
    #: A conference of ours is live without a session: Redis has lost it.
    CONFERENCE_UNKNOWN = "conference-unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    difference: Difference
    session_id: str
    #: SID of the call or conference.
    sid: str

    @property
    def is_of_ended(self) -> bool:
        """Whether a call or conference of an ended session is live; otherwise, Twilio contradicts a live session."""
        return self.difference in (Difference.CALL_LIVE, Difference.CONFERENCE_LIVE)

    @property
    def is_of_conference(self) -> bool:
        """Whether a conference differs; otherwise a call."""
        return self.difference in (Difference.CONFERENCE_MISSING, Difference.CONFERENCE_LIVE)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What the sweep needs of a live session."""

    session_id: str
    #: Unix milliseconds of Redis's clock.
    updated_at_ms: int
    #: Empty without a conference.
    conference_sid: str
    #: Its known calls that are not over: since when each is connected, by SID, Unix milliseconds of Redis's clock. For
    #: a phone that rings, and may have begun to just now, the session's last change; without a time, its beginning.
    calls: Mapping[str, int]
    #: SIDs of those calls that have not been answered, as far as is known.
    ringing_sids: tuple[str, ...] = ()


class EndedSession(NamedTuple):
    """What the sweep needs of an ended session."""

    #: Unix milliseconds of Redis's clock.
    ended_at_ms: int
    #: SIDs of the session's own conferences.
    conference_sids: frozenset[str]


class AccountDiff:
    """Compares one account with the sessions, session by session.

    Attributes:
        sessions: Live sessions compared (count).
        findings: The differences.
        unconfirmed: SIDs of differences other than missing calls, in sessions that changed recently.
        unmatched_calls: SIDs of listed calls that belong to no session so far.
        unmatched_conferences: Names of listed conferences that belong to no session so far, by SID.
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
        #: The lists may lack what happened after this time, Unix milliseconds.
        self._quiet_before_ms = quiet_before_ms
        #: SIDs that were already unconfirmed at this time. They count even if the session has changed since: with
        #: speaker events, a session is never quiet.
        self._unconfirmed_before = unconfirmed_before

    def compare_live(self, session: LiveSession) -> None:
        """Compare a live session with the account; add its first difference to the findings if it is old enough."""
        self.sessions += 1
        self.unmatched_calls.difference_update(session.calls)
        self.unmatched_conferences.pop(session.conference_sid, None)
        finding = self._find_missing_call(session) or self._find_other(session)
        if finding is not None:
            self.findings.append(finding)

    def _find_missing_call(self, session: LiveSession) -> Finding | None:
        """Return the first missing call that is not too new for the lists; one leads to a read of them all.

        The session may have changed since: someone who was left alone may be pressing keys, or an app may be trying
        to reach the other party.
        """
        account = self._account
        if account.has_all_calls:
            for call_sid, since_ms in session.calls.items():
                if call_sid not in account.calls and since_ms <= self._quiet_before_ms:
                    return Finding(Difference.CALL_MISSING, session.session_id, call_sid)
        return None

    def _find_other(self, session: LiveSession) -> Finding | None:
        """Return the first other difference, if the session was quiet or if earlier lists showed it, too."""
        finding = self._find_answered(session) or self._find_missing_conference(session)
        if finding is None or session.updated_at_ms <= self._quiet_before_ms:
            return finding
        self.unconfirmed.add(finding.sid)
        return finding if finding.sid in self._unconfirmed_before else None

    def _find_answered(self, session: LiveSession) -> Finding | None:
        for call_sid in session.ringing_sids:
            if call_sid in self._account.answered:
                return Finding(Difference.CALL_ANSWERED, session.session_id, call_sid)
        return None

    def _find_missing_conference(self, session: LiveSession) -> Finding | None:
        account, conference_sid = self._account, session.conference_sid
        if conference_sid and account.has_all_conferences and conference_sid not in account.conferences:
            return Finding(Difference.CONFERENCE_MISSING, session.session_id, conference_sid)
        return None

    def compare_ended(
        self, session_id: str, session: EndedSession, *, call_sid: str = "", conference_sid: str = ""
    ) -> None:
        """Add a finding for a live call or conference that belongs to an ended session.

        A conference's name alone proves nothing: an app-chosen session id may match another program's conference name.
        """
        if session.ended_at_ms > self._quiet_before_ms:
            return  # its end is still being processed
        if conference_sid and conference_sid not in session.conference_sids:
            return
        if call_sid:
            self.findings.append(Finding(Difference.CALL_LIVE, session_id, call_sid))
        if conference_sid:
            self.findings.append(Finding(Difference.CONFERENCE_LIVE, session_id, conference_sid))
