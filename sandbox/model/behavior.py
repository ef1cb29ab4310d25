"""What is configurable about the model: durations, and behaviours that Twilio leaves undocumented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """Durations in seconds of the exchange's own clock, and choices where Twilio's documentation is silent.

    Where a fact is not documented both answers can be chosen, so that a caller can show that it survives both.
    """

    say_s_per_character: float = 0.06
    """How long one character of a `<Say>` is spoken."""
    play_s: float = 5.0
    """How long one `<Play>` of a file lasts; files are never fetched."""
    wait_document_pause_s: float = 1.0
    """Least time between two requests of one wait document, so that an empty one can't spin."""
    wait_documents_loop: bool = True
    """Whether a wait or hold document without a Redirect is requested again when it has ended; else silence follows."""
    orphaned_coach: Literal["heard", "unheard"] = "heard"
    """Who hears a coach when the coached participant has left: all, as he is no coach any more, or nobody."""
    announcement_failure: Literal["told", "untold"] = "told"
    """Whether an announcement whose document can't be got causes announcement-fail, or nothing at all."""
    announcement_of_a_leaver: Literal["ended", "untold"] = "untold"
    """What is said of an announcement to somebody who leaves: announcement-end without the participant, or nothing."""
    old_action_after_s: float = 0.32
    """From the redirect of a bridged parent to the request of its old Dial's action."""
    redirect_target_after_s: float = 0.65
    """From the redirect of a bridged parent to the request of its new TwiML."""
    old_action_on_redirect: bool = True
    """Whether the old Dial's action of a redirected bridged parent is requested at all (both are reported)."""
    old_action_on_conference_redirect: bool = False
    """The same for a redirected member of a conference."""
    end_on_exit_update: Literal["unless-held", "taken", "with-hold"] = "unless-held"
    """When an update of EndConferenceOnExit has an effect: unless the participant is on hold after it, always, or only
    in a request that names Hold too, and unless on hold. Otherwise the answer shows it, but nothing changes."""
    end_before_start: Literal["refused", "taken"] = "refused"
    """Whether a conference that is not in progress can be ended by request; Twilio's page on 16001 says no."""
    update_before_start: Literal["refused", "taken"] = "refused"
    """Whether those in a conference that is not in progress can be held, muted, told something or removed by request;
    Twilio's page on 16099 says no."""
    add_before_start: Literal["taken", "refused"] = "taken"
    """Whether someone can be dialed into a conference while one caller waits in it for its start. Twilio's page on
    16099 says no; its samples and public code do it."""
    failed_wait: Literal["add-failed", "hung-up"] = "add-failed"
    """How the leave of someone is reported whose wait document can't be fetched: as `participant_add_failed`, or like
    an ordinary leave. Its call is in progress either way."""
    early_media_counts_as_join: bool = False
    """Whether a ringing participant with early media already causes participant-join."""
    late_answer: Literal["hang-up", "new-room"] = "hang-up"
    """What becomes of a participant who answers when the conference has ended."""
    recording_processing_s: float = 0.0
    """From the end of a recording to its callback `completed`."""
    recording_min_s: float = 0.0
    """A recording that isn't longer than this is `absent`, error code 16101."""
    recording_of_a_child: Literal["parents", "own", "refused"] = "parents"
    """What becomes of a request to record a bridged child: shown as its parent's recording, as its own, or 21220."""
    calls_per_second: float = 0.0
    """How many REST dials leave the queue in a second; 0 starts each at once."""
    ring_buffer_s: float = 0.0
    """Added to the `Timeout` of a REST dial; Twilio adds 5, always or in some flows (Participant, Call resource)."""
    list_delay_s: float = 0.0
    """How long a new call or conference is missing from the lists of the API, though it can be fetched."""
    verify_callers: bool = True
    """Whether `From` of a REST dial must be one of the account's numbers, or come with a CallToken of its call.

    The `callerId` of a `<Dial>` must be one of them, the caller's, or the called number.
    Source: Twilio docs, Errors, 21210 and 13214.
    """
    accept_call_tokens: bool = True
    """Whether a CallToken lets a REST dial show the original caller's number."""
    call_limit_s: float = 14_400.0
    """Longest call when nothing else is said (Twilio docs: TwiML <Dial>, timeLimit)."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> Behavior:
        return self
