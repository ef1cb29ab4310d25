"""Configurable behavior of the model: durations, and choices where Twilio's documentation is silent."""

from dataclasses import dataclass
from typing import Literal

from conferral.sandbox.model.inputs import Immutable


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior(Immutable):
    """Durations in seconds of sandbox time, and choices where Twilio's documentation is silent.

    Each undocumented behavior has every plausible variant, so that tests can show that an application handles all of
    them.
    """

    say_s_per_character: float = 0.06
    """Spoken duration of one character in a `<Say>`."""
    play_s: float = 5.0
    """Duration of one `<Play>` of a file; files are never fetched."""
    wait_document_pause_s: float = 1.0
    """Minimum interval between requests for one wait document, so that an empty one can't loop tightly."""
    wait_documents_loop: bool = True
    """Whether a wait or hold document without a Redirect is requested again when it ends; if not, silence follows."""
    orphaned_coach: Literal["heard", "unheard"] = "heard"
    """Who hears a coach after the coached participant has left: everyone, because they no longer coach, or no one."""
    announcement_failure: Literal["reported", "unreported"] = "reported"
    """Whether a failed fetch of an announcement's document causes announcement-fail, or no event."""
    announcement_of_a_leaver: Literal["ended", "unreported"] = "unreported"
    """The event for an announcement to a participant who leaves: announcement-end without the participant, or none."""
    old_action_after_s: float = 0.32
    """Time from redirecting a bridged parent to requesting its old Dial's action."""
    redirect_target_after_s: float = 0.65
    """Time from redirecting a bridged parent to requesting its new TwiML."""
    old_action_on_redirect: bool = True
    """Whether the old Dial's action of a redirected bridged parent is requested at all (both are reported)."""
    old_action_on_conference_redirect: bool = False
    """The same for a redirected participant of a conference."""
    end_on_exit_update: Literal["unless-held", "taken", "with-hold"] = "unless-held"
    """When an update of EndConferenceOnExit takes effect: unless the participant is on hold afterwards; always; or only
    in a request that also sets Hold, and unless on hold. Otherwise, the response shows the new value but nothing
    changes.
    """
    end_before_start: Literal["refused", "taken"] = "refused"
    """Whether a conference that isn't in progress can be ended via REST; Twilio's page on error 16001 says no."""
    update_before_start: Literal["refused", "taken"] = "refused"
    """Whether participants of a conference that isn't in progress can be held, muted, announced to, or removed via
    REST; Twilio's page on error 16099 says no.
    """
    add_before_start: Literal["taken", "refused"] = "taken"
    """Whether a party can be dialed into a conference in which one caller waits for the start. Twilio's page on error
    16099 says no; its samples and public code do it.
    """
    failed_wait: Literal["add-failed", "hung-up"] = "add-failed"
    """The event when a participant's wait document can't be fetched: `participant_add_failed`, or an ordinary leave.
    The call is in progress either way.
    """
    early_media_counts_as_join: bool = False
    """Whether a ringing participant with early media already causes participant-join."""
    late_answer: Literal["hang-up", "new-conference"] = "hang-up"
    """What happens to a participant who answers after the conference has ended."""
    recording_processing_s: float = 0.0
    """Time from the end of a recording to its callback `completed`."""
    recording_min_s: float = 0.0
    """A recording no longer than this is `absent`, with error code 16101."""
    recording_of_a_child: Literal["parents", "own", "refused"] = "parents"
    """What recording a bridged child does: the recording belongs to its parent, to itself, or error 21220 follows."""
    calls_per_second: float = 0.0
    """Rate at which REST dials leave the queue, per second; 0 starts each at once."""
    ring_buffer_s: float = 0.0
    """Added to a REST dial's `Timeout`; Twilio adds 5, always or in some flows (Participant, Call resource)."""
    list_delay_s: float = 0.0
    """How long a new call or conference is missing from the API's lists, although it can be fetched."""
    verify_callers: bool = True
    """Whether a REST dial's `From` must be one of the account's numbers, or come with the CallToken of its call.

    A `<Dial>`'s `callerId` must be one of them, the caller's number, or the called number.
    Source: Twilio docs, Errors, 21210 and 13214.
    """
    accept_call_tokens: bool = True
    """Whether a CallToken lets a REST dial show the original caller's number."""
    call_limit_s: float = 14_400.0
    """Default maximum duration of a call (Twilio docs: TwiML <Dial>, timeLimit)."""
