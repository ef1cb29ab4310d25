"""What differs between the account's lists and the sessions. Pure: nothing is read or published here.

Lists may lag, and so may callbacks. So a difference is told of only when the session had been quiet for a while before
the lists were read, or when earlier lists showed the same; and even then it is a suspicion: a look at Twilio decides.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from conferral.telephony.account_lists import AccountSnapshot


class Difference(StrEnum):
    """What can differ; the words of `AccountSwept.finding`."""

    #: A call of a live session is in no list.
    CALL_MISSING = "call-missing"
    #: So is a conference.
    CONFERENCE_MISSING = "conference-missing"
    #: A call of a live session was answered, though it rings by all that is known.
    CALL_ANSWERED = "call-answered"
    #: A call of an ended session is live.
    CALL_LIVE = "call-live"
    #: So is a conference.
    CONFERENCE_LIVE = "conference-live"
    #: A conference of ours is live of which no session is known: Redis has lost it.
    CONFERENCE_UNKNOWN = "conference-unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    difference: Difference
    session_id: str
    #: SID of the call or of the conference.
    sid: str

    @property
    def is_of_ended(self) -> bool:
        """Whether an ended session has something live, else a live one misses something."""
        return self.difference in (Difference.CALL_LIVE, Difference.CONFERENCE_LIVE)

    @property
    def is_of_conference(self) -> bool:
        """Whether a conference differs, else a call."""
        return self.difference in (Difference.CONFERENCE_MISSING, Difference.CONFERENCE_LIVE)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What the sweep has to know of a live session."""

    session_id: str
    #: Unix milliseconds by Redis's clock.
    updated_at_ms: int
    #: Empty while there is none.
    conference_sid: str
    #: SIDs of its calls, as far as they are known and not over.
    call_sids: tuple[str, ...]
    #: SIDs of those of them that have not been answered yet, as far as is known.
    ringing_sids: tuple[str, ...] = ()


class EndedSession(NamedTuple):
    """What the sweep has to know of a session that is over."""

    #: Unix milliseconds by Redis's clock.
    ended_at_ms: int
    #: SIDs of the conferences that were its own.
    conference_sids: frozenset[str]


class AccountDiff:
    """One account against the sessions, which are shown to it one after the other.

    Attributes:
        sessions: Live sessions compared (count).
        findings: What differs.
        doubtful: SIDs that sessions miss which have just changed.
        unmatched_calls: SIDs of listed calls that no session shown so far has.
        unmatched_conferences: Names of such conferences by SID.
    """

    def __init__(
        self, account: AccountSnapshot, quiet_before_ms: int, unconfirmed_before: AbstractSet[str] = frozenset()
    ) -> None:
        """Begins with nothing compared.

        Args:
            account: What is live at Twilio.
            quiet_before_ms: Sessions that have changed since this moment are left alone, Unix milliseconds.
            unconfirmed_before: SIDs that were doubtful at this moment or before. They are told of, whatever has changed
                since: where Twilio tells who speaks, a session is never quiet.
        """
        self.sessions = 0
        self.findings: list[Finding] = []
        self.unconfirmed: set[str] = set()
        self.unmatched_calls = set(account.calls)
        self.unmatched_conferences = dict(account.conferences)
        self._account = account
        self._quiet_before_ms = quiet_before_ms
        self._unconfirmed_before = unconfirmed_before

    def compare_live(self, session: LiveSession) -> None:
        """Compares one live session."""
        self.sessions += 1
        self.unmatched_calls.difference_update(session.call_sids)
        self.unmatched_conferences.pop(session.conference_sid, None)
        missing = self._find_missing(session)
        if missing is None:
            return
        if session.updated_at_ms > self._quiet_before_ms:
            self.unconfirmed.add(missing.sid)
            if missing.sid not in self._unconfirmed_before:
                return
        self.findings.append(missing)

    def _find_missing(self, session: LiveSession) -> Finding | None:
        """The first difference is enough: the look that follows is at the whole session."""
        account = self._account
        if account.has_all_calls:
            for call_sid in session.call_sids:
                if call_sid not in account.calls:
                    return Finding(Difference.CALL_MISSING, session.session_id, call_sid)
        for call_sid in session.ringing_sids:
            if call_sid in account.answered:
                return Finding(Difference.CALL_ANSWERED, session.session_id, call_sid)
        conference_sid = session.conference_sid
        if conference_sid and account.has_all_conferences and conference_sid not in account.conferences:
            return Finding(Difference.CONFERENCE_MISSING, session.session_id, conference_sid)
        return None

    def compare_ended(
        self, session_id: str, session: EndedSession, *, call_sid: str = "", conference_sid: str = ""
    ) -> None:
        """Takes note that a strange call or conference is one of a session that has ended.

        A conference's name alone proves nothing: whoever gives a session an id may use a word that another program
        names its conferences by.
        """
        if session.ended_at_ms > self._quiet_before_ms:
            return  # its end is on the way
        if conference_sid and conference_sid not in session.conference_sids:
            return
        if call_sid:
            self.findings.append(Finding(Difference.CALL_LIVE, session_id, call_sid))
        if conference_sid:
            self.findings.append(Finding(Difference.CONFERENCE_LIVE, session_id, conference_sid))
