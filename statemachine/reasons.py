"""Reasons: why a session ended, a party is gone, or a command is refused."""

import re
from enum import StrEnum

from conferral.statemachine.session import GUEST, Party, Session, split_label
from conferral.statemachine.states import CallStatus, Phase
from conferral.statemachine.step import Draft

#: Twilio's ReasonParticipantLeft.
HUNG_UP = "participant_hung_up"
#: Why a party's call continues outside the session: Conferral redirected it to your app's TwiML, or your app did.
REDIRECTED_AWAY = "redirected-away"
#: Why a guest's call continues: another app brought it into the conference, and only the conference ended.
NOT_OURS = "not-ours"
#: Twilio's ReasonParticipantLeft if another app moved the call out of the conference, and Conferral did not.
MOVED_OUT = "participant_updated_via_api"
#: Twilio's ReasonParticipantLeft: removed by the end of the conference.
REMOVED_BY_END = "moderator_ended_conference"
#: If a call that left for one of these is live, it is in another app's hands.
CONTINUES_ELSEWHERE = frozenset({REDIRECTED_AWAY, NOT_OURS, MOVED_OUT, REMOVED_BY_END})
#: Why a consult failed, or a party was taken off hold: `CONFERRAL_HOLD_LIMIT`.
HOLD_LIMIT = "hold-limit"
#: Why a dialed party did not take part, in attempts and in a transfer's reason.
DIAL_REASONS = frozenset({
    "busy", "no-answer", "rejected", "failed", "refused", "unknown", "no-confirmation", "answering-machine", "hung-up",
    "left", "too-late", "taken", "cancelled", "dial-limit", "not-configured",
})  # fmt: skip
#: A transfer's other reasons.
TRANSFER_REASONS = frozenset({
    "agent-left", "target-left", "customer-left", "command", "hold-failed", HOLD_LIMIT, "recording-failed",
    "end-flag-unconfirmed", "park-timeout",
})  # fmt: skip
#: Reported as one.
_HANG_UP_REASONS = frozenset({"completed", "answered", "in-progress", HUNG_UP})
#: Reported as one: ReasonParticipantLeft, or ReasonConferenceEnded if only that was reported.
_CONFERENCE_END_REASONS = frozenset({
    REMOVED_BY_END, "conference_ended_via_api",
    "conference-ended-via-api", "last-participant-left", "last-participant-kicked",
    "participant-with-end-conference-on-exit-left", "participant-with-end-conference-on-exit-kicked",
})  # fmt: skip
#: Within this time, Twilio has requested the action of a `<Dial>` whose child was moved, or has given up, milliseconds.
MOVE_SHOWS_MS = 60_000
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)


class EndReason(StrEnum):
    """Why a session ended. Documented; the words never change their meaning."""

    AGENT_LEFT = "agent-left"
    #: The customer hung up, before or after the agent answered.
    CUSTOMER_LEFT = "customer-left"
    AGENT_BUSY = "agent-busy"
    AGENT_NO_ANSWER = "agent-no-answer"
    AGENT_REJECTED = "agent-rejected"
    #: The agent could not be reached: wrong number, no route, or not registered.
    AGENT_FAILED = "agent-failed"
    #: This and the next three occur when the agent is called first.
    CUSTOMER_BUSY = "customer-busy"
    CUSTOMER_NO_ANSWER = "customer-no-answer"
    CUSTOMER_REJECTED = "customer-rejected"
    CUSTOMER_FAILED = "customer-failed"
    #: They did not press 1 when prompted.
    AGENT_NO_CONFIRMATION = "agent-no-confirmation"
    CUSTOMER_NO_CONFIRMATION = "customer-no-confirmation"
    #: A machine answered.
    AGENT_ANSWERING_MACHINE = "agent-answering-machine"
    CUSTOMER_ANSWERING_MACHINE = "customer-answering-machine"
    #: A transfer failed after the agent had left, and there was no recall or fallback.
    TRANSFER_FAILED = "transfer-failed"
    #: A transfer failed after the agent had left, or the agent's leg was lost, and the recall did not reach the agent.
    RECALL_FAILED = "recall-failed"
    #: A transfer failed after the agent had left, and so did the fallback destination.
    FALLBACK_FAILED = "fallback-failed"
    #: No one retrieved a parked call in time, and there was no one else to call.
    PARK_TIMEOUT = "park-timeout"
    #: No one took the call, and the customer heard the tone of the voicemail.
    VOICEMAIL = "voicemail"
    #: No one took the call, and the customer continues at your app's URL.
    RETURNED = "returned"
    #: One party was left in the conference and Conferral does not know who hung up first.
    ALONE = "alone"
    CONVERT_FAILED = "convert-failed"
    #: Another app gave the call other TwiML. Conferral leaves it alone.
    MOVED = "moved"
    COMMAND = "command"
    #: Twilio ended the call, which was as long as it lets calls be.
    TIME_LIMIT = "time-limit"
    TOO_OLD = "too-old"


def reported_reason(reason: str) -> str:
    """Return why a party is gone, with one word for all ways of hanging up."""
    if reason in _CONFERENCE_END_REASONS:
        return "left"
    if reason == CallStatus.CANCELED:
        return "cancelled"
    return "hung-up" if reason in _HANG_UP_REASONS else reason


def is_beyond_bridge(session: Session, party: Party) -> bool:
    """Whether Twilio ends a party's call of a bridge, or another app moved it.

    The child ends with its parent, and the action's answer ends the parent. Either call, if it is live after that, is
    in another app's hands.
    """
    is_in_conference = bool(session.conference_sid or session.former_conferences)
    if is_in_conference or may_be_moved_by_us(session, party, session.ended_at_ms):
        return False
    if party.name == session.parent.name:
        return bool(session.dial_call_status)
    return party.name == session.child.name and not party.dial_id


def may_be_moved_by_us(session: Session, party: Party, now_ms: int) -> bool:
    """Whether our redirect may have just moved a call into our conference.

    No list need show a conference with one party, so a read can't tell.
    """
    child_moved_at_ms = session.moved_at_ms if party.name == session.child.name else 0
    moved_at_ms = max(party.repair_moved_at_ms, child_moved_at_ms)
    return bool(moved_at_ms) and now_ms - moved_at_ms < MOVE_SHOWS_MS


def is_of_another_app(session: Session, party: Party) -> bool:
    """Whether a guest's call was placed by another app."""
    return _GUEST.fullmatch(party.name) is not None and not (party.dial_id or is_label_of_dial(session, party.label))


def is_label_of_dial(session: Session, label: str) -> bool:
    """Whether a dial of the session may have given this label, `NAME-NUMBER`."""
    # A number above the session's highest is in another app's label.
    return 0 < split_label(label)[1] <= session.highest_label_number


# ---- reasons of refusals that name something, or that several rows give --------------------------------------------


LAST_UNHELD = "the last party that is not on hold can't be put on hold"
NO_AGENT_TO_COACH = "there is no agent to whisper to"
NO_ONE_HEARS = "no one is there to hear it"
#: Of `press`.
CANT_HEAR = "the party is on hold, waiting, or leaving"
#: Of `transfer`, `park`, and `retrieve`.
TRANSFER_IN_PROGRESS = "another transfer is in progress"
CONFERENCE_FULL = "the conference is full"
TARGET_NOT_ANSWERED = "the target has not answered yet"
AGENT_LEFT_OR_LEAVING = "the agent has left or is leaving"


def session_has_ended(draft: Draft) -> str:
    """The session has ended; the reason says why."""
    return f"the session has ended ({draft.session.end_reason})"


def one_side_is_gone(draft: Draft) -> str:
    """A party has hung up, or Redis has lost its call."""
    # Without a call SID, Conferral searches Twilio's call list for the agent, who talks.
    is_talking = draft.session.is_in_bridge and draft.session.phase is Phase.CONNECTED
    is_searched = is_talking and not draft.session.parent.call_sid
    return "Conferral is still looking for the agent's call" if is_searched else "one of the two parties has hung up"


def party_is_unknown(draft: Draft) -> str:
    """No party has that name; the reason lists the parties."""
    return f"no such party; parties: {', '.join(draft.session.present)}"


def step_is_under_way(draft: Draft) -> str:
    """Another `complete`, `cancel`, `swap`, or `merge` is in progress."""
    name = draft.transfer.step_name
    return f"{name} is still in progress" if name else "a swap is still being reverted"
