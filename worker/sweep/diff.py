"""Diff between the account's lists and the sessions. Pure.

Lists and callbacks may lag. So a call counts as missing only if it was connected for a while before the lists were
read, and a conference only if its session was quiet by then. A read decides.

Orphans are conferences and bridges of ours that no session knows. Other programs' are never touched. Our conferences
have a name in our form, are older than 10 s, and have a participant with our label. Besides, the name has our digest,
or such a participant's call is of our numbers, or the call that the name has is, even if it is over: a `<Dial>`'s child
may show only the caller's number. A bridge lacks such marks, and Twilio lists a call's requests only 15 minutes later
(https://www.twilio.com/docs/voice/api/call-event-resource). So it is ours only if it came in to one of our numbers, and
its only live child was dialed to one of that number's agents with our caller ID.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from conferral.statemachine.events import AccountSwept, CallProgressed, CallReceived, ParticipantFound
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import CallStatus, PartyStatus
from conferral.telephony.account_lists import AccountSnapshot, ChildCall, OwnCall
from conferral.telephony.addresses import is_caller_id
from conferral.telephony.directory import InboundRoute
from conferral.telephony.parameters import is_label

#: Maximum interval between reports of what outlives its session, sweeps.
REPORT_EVERY_MAX = 64
#: How far ahead of the lists a session's time can be while workers agree on the time, milliseconds: a long sweep.
FUTURE_MS = 120_000
_UNANSWERED = frozenset({PartyStatus.DIALING, PartyStatus.RINGING})


class Difference(StrEnum):
    """Kinds of differences, as in `AccountSwept.finding`."""

    CALL_MISSING = "call-missing"
    CONFERENCE_MISSING = "conference-missing"
    #: The live session still has it ringing, or does not know of the call that answered its `<Dial>`.
    CALL_ANSWERED = "call-answered"
    #: Live, but its session has ended.
    CALL_LIVE = "call-live"
    #: The same.
    CONFERENCE_LIVE = "conference-live"
    #: Ours, but Redis has lost its session, or the session does not know of it.
    CONFERENCE_UNKNOWN = "conference-unknown"
    #: Ours, but it came in while Redis was away.
    BRIDGE_UNKNOWN = "bridge-unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    difference: Difference
    session_id: str
    sid: str
    #: When its session ended, Unix milliseconds; 0 if that is live.
    ended_at_ms: int = 0

    @property
    def is_of_ended(self) -> bool:
        """Whether it concerns an ended session; else a live one."""
        return self.ended_at_ms > 0

    def is_due(self, interval_ms: float, interval_number: int, last_interval_number: int) -> bool:
        """Whether to publish it now; the last interval: of a complete sweep.

        What outlives its session is reported 1, 2, 4, ... intervals after that has ended: each hang-up is retried for
        an hour, and a redirected customer may be meant to be there.
        """
        end_number = int(self.ended_at_ms / interval_ms)
        # Intervals since the end.
        last_age, age = last_interval_number - end_number, interval_number - end_number
        return (
            not self.is_of_ended
            or last_age < 0
            or last_age.bit_length() < age.bit_length()
            or last_age // REPORT_EVERY_MAX < age // REPORT_EVERY_MAX
        )

    def event(self, interval_number: int) -> AccountSwept:
        """Return what is published; one of the same interval is a duplicate."""
        is_of_conference = self.difference.startswith("conference")
        return AccountSwept(
            session_id=self.session_id,
            token=f"sweep:{interval_number}:{self.difference}:{self.sid}",
            finding=self.difference.value,
            call_sid="" if is_of_conference else self.sid,
            conference_sid=self.sid if is_of_conference else "",
        )


class AccountDiff:
    """Compares one account with the sessions, session by session.

    Attributes:
        unmatched_calls: SIDs of calls without a session so far.
        unmatched_conferences: Names of conferences without a session so far, by SID.
        lost_conferences: Ended sessions that don't know a conference of their name, by its SID.
    """

    def __init__(self, account: AccountSnapshot, quiet_before_ms: int) -> None:
        self.sessions = 0
        self.findings: list[Finding] = []
        self.unmatched_calls = set(account.calls)
        self.unmatched_conferences = dict(account.conferences)
        self.lost_conferences: dict[str, Session] = {}
        self._account = account
        self._sid_by_name = {name: sid for sid, name in account.conferences.items()}
        #: The lists may lack later events, Unix milliseconds.
        self._quiet_before_ms = quiet_before_ms

    def compare_live(self, session: Session) -> None:
        """Add the session's first difference to the findings, if it is old enough.

        The finding is appended behind the entries that wait, and costs no read if one of them was the call's end.
        """
        self.sessions += 1
        self.unmatched_calls.difference_update(_latest_starts_ms(session))
        self.unmatched_conferences.pop(session.conference_sid, None)
        if finding := self._find_missing_call(session) or self._find_answer_or_conference(session):
            self.findings.append(finding)

    def _find_missing_call(self, session: Session) -> Finding | None:
        """Return the first missing call that is old enough.

        One finding is enough, since the session then reads all its calls. The session need not be quiet: someone left
        alone may be pressing keys.
        """
        account = self._account
        if account.has_all_calls:
            for call_sid, since_ms in _latest_starts_ms(session).items():
                if call_sid not in account.calls and self._is_old(since_ms):
                    return Finding(Difference.CALL_MISSING, session.id, call_sid)
        return None

    def _find_answer_or_conference(self, session: Session) -> Finding | None:
        """Return an answered call that rings, or a conference only one side has.

        Twilio answered the call, and the session has it ringing. The conference is unknown to the session, or missing
        at Twilio.

        The sessions are read after the lists, so an answer's callback has had its time. No one speaks in a conference
        that is over, so its session is quiet.
        """
        account = self._account
        answered = [call_sid for call_sid in _ringing(session) if call_sid in account.answered]
        if answered := answered or self._calls_with_unreported_child(session):
            return Finding(Difference.CALL_ANSWERED, session.id, answered[0])
        # The session knows no conference, but one has its name: an earlier sweep took it for a bridge.
        named = self._sid_by_name.get(session.conference_name, "")
        if named and not session.conference_sid and self._is_old(session.updated_at_ms):
            return Finding(Difference.CONFERENCE_UNKNOWN, session.id, named)
        # No list need show a conference that has not started.
        conference_sid = session.conference_sid if len(session.participants) > 1 else ""
        is_missing = conference_sid and account.has_all_conferences and conference_sid not in account.conferences
        if is_missing and self._is_old(session.updated_at_ms):
            return Finding(Difference.CONFERENCE_MISSING, session.id, conference_sid)
        return None

    def _calls_with_unreported_child(self, session: Session) -> list[str]:
        """Return calls whose child was answered, though no callback named it.

        The finding names the parent: if the session ends meanwhile, it can't know whether the child is its own.
        """
        account = self._account
        if all(party.call_sid or party.dial_id for party in _unanswered(session)):
            return []
        known = (party.call_sid for party in session.present.values())
        return [sid for sid in known if any(one.call_sid in account.answered for one in account.children.get(sid, ()))]

    def _is_old(self, at_ms: int) -> bool:
        """Whether the lists should show what happened then.

        A time of the future is from before Redis's clock was set back, which the session's worker hardly follows.
        """
        return at_ms <= self._quiet_before_ms or at_ms > self._quiet_before_ms + FUTURE_MS

    def compare_ended(self, session: Session, *, call_sid: str = "", conference_sid: str = "") -> None:
        """Add a finding for a live call or conference of an ended session."""
        if not self._is_old(session.ended_at_ms):
            return  # its end is still being processed
        if conference_sid and conference_sid not in (session.conference_sid, *session.former_conferences):
            self.lost_conferences[conference_sid] = session  # or another program's: an app may choose the id
            return
        if call_sid:
            self.findings.append(Finding(Difference.CALL_LIVE, session.id, call_sid, session.ended_at_ms))
        if conference_sid:
            self.findings.append(Finding(Difference.CONFERENCE_LIVE, session.id, conference_sid, session.ended_at_ms))


def _unanswered(session: Session) -> list[Party]:
    """Return the called parties that have not answered, as far as is known."""
    # The calling party's phone does not ring.
    called = AGENT if session.customer_is_parent else CUSTOMER
    return [
        party
        for party in session.present.values()
        if party.status in _UNANSWERED and (party.dial_id or party.name == called)
    ]


def _ringing(session: Session) -> list[str]:
    """Return the SIDs of the calls that are not answered, as far as is known."""
    return [party.call_sid for party in _unanswered(session) if party.call_sid]


def _latest_starts_ms(session: Session) -> dict[str, int]:
    """Return by when each known call had begun, Unix ms by SID.

    An answered one began with its answer, or with the session if that time is unknown. When an unanswered one began to
    ring is unknown, too: the session's last change is the latest possible time. All are in the workers' time.
    """
    ringing, changed_at_ms, created_at_ms = _ringing(session), session.updated_at_ms, session.created_at_ms
    return {
        party.call_sid: changed_at_ms if party.call_sid in ringing else party.answered_at_ms or created_at_ms
        for party in session.present.values()
        if party.call_sid
    }


#: A CallSid (with the visit's number), or `CS` and the hash of a command's id.
_NAME = re.compile(r"CA[0-9a-f]{32}(-[0-9]{1,2})?|CS[0-9a-f]{32}", re.ASCII)
#: Returns the called number's route if a `<Dial>` of ours may have made a child of a call.
RouteOfOwnBridge = Callable[[OwnCall, ChildCall], InboundRoute | None]


def has_own_name(name: str) -> bool:
    """Whether the name could be the id of a session of ours."""
    return _NAME.fullmatch(name) is not None


def call_sids_with_label(participants: Iterable[ParticipantFound]) -> set[str]:
    """Return the SIDs of the participants with a label of ours."""
    return {participant.call_sid for participant in participants if is_label(participant.label)}


def is_opened_by_wait_request(participants: Sequence[ParticipantFound], *, has_started: bool) -> bool:
    """Whether only the caller waits: their next wait request opens a session."""
    if has_started or len(participants) != 1:
        return False
    (one,) = participants
    return one.came_in and one.label.startswith(f"{CUSTOMER}-")


class UnknownBridge(NamedTuple):
    """A call that came in, and its child."""

    call_sid: str
    call: OwnCall
    child: ChildCall
    route: InboundRoute

    def events(self, session_id: str) -> tuple[CallReceived, CallProgressed]:
        """Return what was lost: the call's arrival, and the agent's answer."""
        index = self.route.agents.index(self.child.address)
        received = CallReceived(
            session_id=session_id,
            token=f"sweep:{self.call_sid}",
            call_sid=self.call_sid,
            customer_address=self.call.address,
            agent_address=self.child.address,
            has_caller_id=is_caller_id(self.call.address),
            called_number=self.route.called_number,
            other_agents=self.route.agents[index + 1 :],
            attributes=self.route.attributes,
            fallback=self.route.places,
            queue=self.route.queue,
        )
        progressed = CallProgressed(
            session_id=session_id,
            token=f"sweep:{self.child.call_sid}",
            party=AGENT,
            call_sid=self.child.call_sid,
            status=CallStatus.IN_PROGRESS.value,
            address=self.child.address,
            customer_address=self.call.address,
        )
        return received, progressed


def route_of_own_bridge(route_of: Callable[[str], InboundRoute], own_number: str) -> RouteOfOwnBridge:
    """Return a function that recognizes our bridges.

    It returns the called number's route if the child was dialed to one of its agents, as we dial; else None.
    """

    def find(call: OwnCall, child: ChildCall) -> InboundRoute | None:
        # Agents' phones may see our own number, and do if the called one came in a SIP address.
        shown = {call.address} if is_caller_id(call.address) else set()
        if not shown or child.address.startswith("+"):
            shown |= {own_number, call.called}
        route = route_of(call.called)
        if child.address not in route.agents or child.caller_id not in shown:
            return None
        return replace(route, called_number=call.called if call.called != own_number else "")

    return find


def find_unknown_bridges(
    account: AccountSnapshot, unmatched: Collection[str], route_of: RouteOfOwnBridge
) -> list[UnknownBridge]:
    """Return the calls without a session that talk to one of our agents."""
    # A call that was moved into its session's conference is recovered with that.
    moved = {call_of_visit(name) for name in account.conferences.values()}
    found = []
    for call_sid in sorted(account.own_calls.keys() & unmatched & account.answered - moved):
        call, children = account.own_calls[call_sid], account.children.get(call_sid, ())
        if call.came_in and len(children) == 1 and children[0].call_sid in account.answered:
            route = route_of(call, children[0])
            if route is not None:
                found.append(UnknownBridge(call_sid, call, children[0], route))
    return found
