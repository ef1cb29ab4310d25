"""The catalog of reasons: why a session, a transfer, or a dial ended so.

Each is one entry, with its words for every surface: the command line, the console, the report, the desk, and the
documentation derive from it. A command may also fail with a sentence of its own, which all surfaces show as it is.
"""

from enum import StrEnum
from typing import Any, NamedTuple, Self

from conferral.statemachine.states import CallStatus


class Words(NamedTuple):
    """What the surfaces say of a reason."""

    #: To operators, as a sentence without its end. `{who}` is the party that was dialed.
    said: str
    #: The same next to the party's name, if it isn't what follows `{who}`.
    note: str = ""
    #: To an agent, whom Twilio need not concern, if not `said`.
    desk: str = ""
    #: In the documentation, if that says more.
    about: str = ""
    #: Whether your app learns it in the URL at which a customer continues. Others are `failed` there.
    is_in_urls: bool = False
    #: Of a session: whether no one intended it, and it is worse than an unanswered call.
    is_bad: bool = False
    #: Of a session: whether it ended because the agent or the customer was not reached.
    is_unreached: bool = False


_NO_WORDS = Words("")


class _Worded(StrEnum):
    """Base class of reasons."""

    words: Words
    #: As the text that it is in each field: read again, it is no member.
    __repr__ = str.__repr__

    def __new__(cls, word: str, words: Words = _NO_WORDS) -> Self:
        """Create the member `word`."""
        found = str.__new__(cls, word)
        found._value_, found.words = word, words
        return found


def _entry(word: str, said: str, **more: Any) -> tuple[str, Words]:
    return word, Words(said, **more)


class Reason(_Worded):
    """Why a dialed party did not take part, or a command or transfer failed.

    Documented; the words never change their meaning.
    """

    BUSY = _entry("busy", "{who} was busy", desk="the line is busy", is_in_urls=True)
    NO_ANSWER = _entry("no-answer", "{who} did not answer", desk="no one answered", is_in_urls=True)
    #: Code says *reject*, as Twilio does; what people read or hear, *decline*.
    REJECTED = _entry("rejected", "{who} declined the call", desk="the call was declined", is_in_urls=True)
    FAILED = _entry("failed", "{who} could not be reached", desk="the call could not be placed", is_in_urls=True)
    AWAY = _entry(
        "away",
        "{who} was away",
        desk="no one was there",
        about="the agent was away, or had no desk, and [was skipped](directory.md#who-is-rung)",
        is_in_urls=True,
    )
    NO_CONFIRMATION = _entry(
        "no-confirmation",
        "{who} did not press 1",
        desk="no one pressed 1",
        about="the called party did not press 1; voicemail probably answered",
        is_in_urls=True,
    )
    ANSWERING_MACHINE = _entry(
        "answering-machine",
        "a machine answered instead of {who}",
        desk="an answering machine took the call",
        note="a machine answered",
        about="Twilio detected a machine or a fax (`amd`)",
        is_in_urls=True,
    )
    REFUSED = _entry(
        "refused",
        "Twilio refused the address of {who}",
        note="Twilio refused the address",
        desk="the address was refused",
        about="Twilio refused the address of a browser or SIP phone that had called in, and was called back",
    )
    UNKNOWN = _entry(
        "unknown",
        "it is unknown whether {who} was dialed",
        desk="it is not known whether the call was placed",
        note="it is unknown whether it was dialed",
        about="Twilio's response was lost, so it is unknown whether the called party was dialed",
        is_in_urls=True,
    )
    HUNG_UP = _entry(
        "hung-up",
        "{who} hung up",
        desk="they hung up",
        about="the called party answered and hung up before taking part; in a command about a party: it hung up first",
    )
    LEFT = _entry(
        "left",
        "{who} left",
        desk="they left",
        about="the conference ended before the called party took part; in a command about a party: it left first",
    )
    TOO_LATE = _entry(
        "too-late",
        "{who} answered too late",
        desk="they answered too late",
        about="the called party answered after everyone had stopped waiting",
    )
    TAKEN = _entry("taken", "{who} answered after someone else had taken the call", desk="someone else took the call")
    CANCELLED = _entry(
        "cancelled",
        "{who} was no longer needed",
        desk="it was canceled",
        about="`cancel`, `remove`, or `end` came first, another target was faster, or the customer left",
    )
    DIAL_LIMIT = _entry(
        "dial-limit",
        "limit of dials reached",
        desk="too many calls are being placed",
        about="[a limit](operating.md#limits) was reached",
        is_in_urls=True,
    )
    EXPIRED = _entry(
        "expired",
        "its deadline passed",
        desk="it took too long",
        about="the command's `deadline` passed while it waited for a conversion, which continues; or an offer of a "
        "waiting caller ended before it was dialed",
    )
    NOT_CONFIGURED = _entry(
        "not-configured", "no agent is configured", about="no agent is configured for the number", is_in_urls=True
    )
    TARGET_LEFT = _entry("target-left", "the target hung up", desk="they hung up")
    HOLD_FAILED = _entry(
        "hold-failed",
        "Twilio did not confirm the hold",
        desk="the caller could not be put on hold",
        about="Twilio did not confirm the hold; nothing changed",
    )
    HOLD_LIMIT = _entry(
        "hold-limit",
        "hold limit reached",
        desk="the caller was on hold for too long",
        about="in a consult: the customer was on hold for `CONFERRAL_HOLD_LIMIT` before the target answered. After "
        "the answer, only `transfer.reason` and the outcome say it",
    )
    RECORDING_FAILED = _entry(
        "recording-failed",
        "Twilio did not pause the recording",
        desk="the recording could not be paused",
        about="in a consult: Twilio neither paused nor stopped the conference's recording. No one was dialed",
    )
    END_FLAG_UNCONFIRMED = _entry(
        "end-flag-unconfirmed",
        "Twilio did not confirm that the agent can leave",
        desk="the call could not be prepared for it",
        about="Twilio did not confirm that the others can leave without ending the conference. No one was dialed "
        "or disconnected",
    )


def _unreached(name: str, reason: Reason) -> tuple[str, Words]:
    """Return the entry of an agent or a customer who was not reached."""
    about = {
        "agent": "no agent took the call, [for this reason](#why-a-command-fails)",
        "customer": "the same, of a customer whom an agent called (`call`, browser, SIP phone)",
    }
    said = reason.words.said.format(who=f"the {name}")
    return _entry(f"{name}-{reason}", said, about=about[name], is_bad=reason is Reason.FAILED, is_unreached=True)


class EndReason(_Worded):
    """Why a session ended. Documented; the words never change their meaning."""

    AGENT_LEFT = _entry("agent-left", "the agent hung up", about="the agent hung up first")
    CUSTOMER_LEFT = _entry(
        "customer-left", "the customer hung up", about="the customer hung up first, before or after the agent answered"
    )
    AGENT_BUSY = _unreached("agent", Reason.BUSY)
    AGENT_NO_ANSWER = _unreached("agent", Reason.NO_ANSWER)
    AGENT_REJECTED = _unreached("agent", Reason.REJECTED)
    AGENT_FAILED = _unreached("agent", Reason.FAILED)
    AGENT_AWAY = _unreached("agent", Reason.AWAY)
    AGENT_NO_CONFIRMATION = _unreached("agent", Reason.NO_CONFIRMATION)
    AGENT_ANSWERING_MACHINE = _unreached("agent", Reason.ANSWERING_MACHINE)
    CUSTOMER_BUSY = _unreached("customer", Reason.BUSY)
    CUSTOMER_NO_ANSWER = _unreached("customer", Reason.NO_ANSWER)
    CUSTOMER_REJECTED = _unreached("customer", Reason.REJECTED)
    CUSTOMER_FAILED = _unreached("customer", Reason.FAILED)
    CUSTOMER_NO_CONFIRMATION = _unreached("customer", Reason.NO_CONFIRMATION)
    CUSTOMER_ANSWERING_MACHINE = _unreached("customer", Reason.ANSWERING_MACHINE)
    TRANSFER_FAILED = _entry(
        "transfer-failed", "the transfer failed after the agent had left, and there was no fallback", is_bad=True
    )
    RECALL_FAILED = _entry(
        "recall-failed",
        "the agent could not be called back, after a transfer or a lost leg",
        about="the recall failed, after a transfer, an expired park, or "
        "[the loss of an agent's leg](desk.md#when-an-agents-leg-is-lost)",
        is_bad=True,
    )
    FALLBACK_FAILED = _entry("fallback-failed", "no place of the fallback took the call", is_bad=True)
    PARK_TIMEOUT = _entry(
        "park-timeout",
        "no one retrieved the parked call in time",
        about="no one retrieved the parked call in time, and the fallback was `end`",
        is_bad=True,
    )
    QUEUE_LIMIT = _entry(
        "queue-limit",
        "no agent was free in time",
        about="the caller waited [in a queue](waiting-callers.md) for `queue_limit`, and no place followed",
        is_in_urls=True,
    )
    VOICEMAIL = _entry(
        "voicemail",
        "the customer left a message, or hung up after the tone",
        about="no one took the call, and the customer heard the tone",
    )
    RETURNED = _entry(
        "returned",
        "no one took the call, and the customer continues with your app",
        about="no one took the call, and the customer continues at a URL of your app",
    )
    CLOSED = _entry(
        "closed",
        "the call came outside the number's hours",
        about="the call came [outside the hours](directory.md#hours) of the number, and `closed` was `end`",
        is_in_urls=True,
    )
    ALONE = _entry(
        "alone",
        "only one party was left in the conference",
        about="only one party was left in the conference, and it is unknown who left first",
        is_bad=True,
    )
    CONVERT_FAILED = _entry(
        "convert-failed",
        "customer and agent could not be moved into a conference",
        about="the conversion failed, and so did the single attempt to repair it",
        is_bad=True,
    )
    MOVED = _entry(
        "moved",
        "another program gave the call another document; it continues there",
        about="another program gave the call another document; it is left alone. A call that another program "
        "completes is `customer-left`",
    )
    COMMAND = _entry("command", "an operator ended it", desk="it was ended for everyone", about="the command `end`")
    TIME_LIMIT = _entry(
        "time-limit",
        "it reached Twilio's time limit",
        note="reached Twilio's time limit",
        about="Twilio ended a bridged call at its limit of 4 hours",
    )
    TOO_OLD = _entry(
        "too-old",
        "it reached the 24 h limit",
        about="the session reached its limit of 24 hours, and Twilio shows no live call of it",
        is_bad=True,
    )


#: Ends at which no agent was reached.
NO_AGENT = frozenset(one for one in EndReason if one.words.is_unreached and one.startswith("agent-"))
#: Results of attempts that never rang.
NOT_DIALED: frozenset[str] = frozenset({Reason.DIAL_LIMIT, Reason.AWAY, Reason.EXPIRED})
#: All, by their words.
REASONS: dict[str, Reason | EndReason] = {str(one): one for kind in (Reason, EndReason) for one in kind}

# ---- why a party is gone: a reason, a final status of Twilio's, or one of these --------------------------------------

#: Twilio's ReasonParticipantLeft.
HANG_UP = "participant_hung_up"
#: Twilio's ReasonParticipantLeft if another app moved the call out of the conference, and Conferral did not.
MOVED_OUT = "participant_updated_via_api"
#: Twilio's ReasonParticipantLeft: removed by the end of the conference.
REMOVED_BY_END = "moderator_ended_conference"
#: Conferral hung up the party's call.
RELEASED = "released"
#: Why a party's call continues outside the session: Conferral redirected it to your app's TwiML, or your app did.
REDIRECTED_AWAY = "redirected-away"
#: Why a guest's call continues: another app brought it into the conference, and only the conference ended.
NOT_OURS = "not-ours"
#: What is said of those next to the party's name.
LEFT_NOTES = {
    RELEASED: "disconnected by Conferral",
    REDIRECTED_AWAY: "continues with your app",
    NOT_OURS: "continues outside this session",
    MOVED_OUT: "moved out of the conference by another program",
}
#: If a call that left for one of these is live, it is in another app's hands.
CONTINUES_ELSEWHERE = frozenset({REDIRECTED_AWAY, NOT_OURS, MOVED_OUT, REMOVED_BY_END})
#: Reported as one.
_HANG_UP_REASONS = frozenset({"completed", "answered", "in-progress", HANG_UP})


def reported_reason(left_reason: str) -> Reason | EndReason:
    """Return why a party is gone, whatever word of Twilio's says it."""
    if left_reason == CallStatus.CANCELED:
        return Reason.CANCELLED
    # Others of Twilio's tell how the conference ended: ReasonParticipantLeft, or ReasonConferenceEnded.
    return Reason.HUNG_UP if left_reason in _HANG_UP_REASONS else REASONS.get(left_reason, Reason.LEFT)
