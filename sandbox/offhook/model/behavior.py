"""Where Twilio's documentation allows two readings, and how IDs look."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """Durations in seconds of sandbox time, and undocumented choices.

    Each choice has every plausible variant, so that tests can show that an application handles all of them.
    """

    say_s_per_character: float = 0.06  #: Of a `<Say>`.
    play_s: float = 5.0  #: Of one `<Play>` of a file; files are never fetched.
    detect_person_s: float = 3.0  #: Machine detection, from the answer: of a person's short greeting (2 to 4 s).
    detect_machine_s: float = 4.0  #: Of a recorded greeting, or a fax.
    detect_silence_s: float = 5.0  #: Of silence; Twilio gives it MachineDetectionSilenceTimeout.
    greeting_s: float = 8.0  #: Of a mailbox, from the answer; one with a beep then records what it hears.
    wait_document_pause_s: float = 1.0  #: Between requests for one wait document: an empty one must not loop tightly.
    orphaned_coach: Literal["heard", "unheard"] = "heard"  #: By everyone or no one, after the coached one has left.
    announcement_failure: Literal["reported", "unreported"] = "reported"  #: By announcement-fail, or no event.
    old_action_after_s: float = 0.32  #: From redirecting a bridged parent to its old Dial's action.
    redirect_target_after_s: float = 0.65  #: From redirecting a bridged parent to its new TwiML.
    #: Whether that old action is requested at all (both are reported); never that of a redirected participant.
    old_action_on_redirect: bool = True
    #: Of a call that ends, before or after what its end causes: the end of the Dial's other leg, the leave, the action.
    final_callback: Literal["first", "last"] = "first"
    abandoned_child: Literal["canceled", "no-answer"] = "canceled"  #: Of an unanswered callee whose caller hangs up.
    action_after_hang_up: bool = True  #: Whether a Dial whose caller hangs up requests its action.
    #: Why a participant left whose call a REST request completes; `updated` is participant_updated_via_api.
    completed_participant: Literal["hung-up", "updated"] = "hung-up"
    #: When an update of EndConferenceOnExit takes effect; if not, only the response shows the new value. `with-hold`:
    #: only in a request that also sets Hold, and unless on hold afterwards.
    end_on_exit_update: Literal["unless-held", "taken", "with-hold"] = "unless-held"
    end_before_start: Literal["refused", "taken"] = "refused"  #: Ending a conference via REST; 16001 says no.
    #: What REST shows for a conference of two who don't start it; one account showed `in-progress`.
    unstarted_conference: Literal["init", "in-progress"] = "init"
    #: Updates and removals of participants via REST; Twilio's page on error 16099 says no.
    update_before_start: Literal["refused", "taken"] = "refused"
    add_before_start: Literal["taken", "refused"] = "taken"  #: Dialing in: 16099 says no, Twilio's samples do it.
    #: A failed wait document reports `participant_add_failed`, or a leave; the call is in progress either way.
    failed_wait: Literal["add-failed", "hung-up"] = "add-failed"
    early_media_counts_as_join: bool = False  #: Whether ringing with early media already causes participant-join.
    #: Whether a participant who rings with early media, or meets one, already starts the conference.
    early_media_starts: bool = False
    #: When the one whose exit ends the conference leaves: before or after the others.
    ending_leave: Literal["first", "last"] = "first"
    busy_rings: bool = False  #: Whether a busy phone rings first, as one observed mobile did.
    late_answer: Literal["hang-up", "new-conference"] = "hang-up"  #: Of a participant, after the conference's end.
    recording_processing_s: float = 0.0  #: From the end of a recording to its callback `completed`.
    recording_min_s: float = 0.0  #: A recording no longer than this is `absent`, with error code 16101.
    #: A bridged child's recording belongs to its parent, to itself, or is refused with error 21220.
    recording_of_a_child: Literal["parents", "own", "refused"] = "parents"
    #: Who may download the file of a recording: everyone, unless the account enforces HTTP authentication.
    recording_files: Literal["public", "authenticated"] = "public"
    #: What the request to record a call returns that is being recorded: that recording, or another one.
    second_recording: Literal["same", "another"] = "same"
    conference_recording_channels: Literal[1, 2] = 2  #: Of a recording of a conference.
    calls_per_second: float = 0.0  #: At which REST dials leave the queue; 0 starts each immediately.
    ring_buffer_s: float = 0.0  #: Added to a call's `Timeout`; to a participant's, at least 5.
    #: What a list of conferences without `Status` shows; `all` was Twilio's rule before October 2026.
    conference_list: Literal["in-progress", "all"] = "in-progress"
    #: What one with `Status=init` shows, a documented value, which no one has tried. `refused` is error 20001.
    init_conference_list: Literal["nothing", "all", "refused"] = "nothing"
    #: What a browser's parameters named like Twilio's do: all are sent, too, or To and From override, the rest is lost.
    browser_parameters: Literal["added", "override"] = "added"
    #: A dialed US number without `+1`: Twilio's page of <Dial> shows one, others ask for E.164.
    national_numbers: Literal["dialed", "refused"] = "dialed"
    list_delay_s: float = 0.0  #: How long the API's lists miss a new call or conference, which can be fetched.
    #: Whether webhook requests arrive with their query sorted by name. The signature covers the original order.
    sorted_queries: bool = False
    verify_callers: bool = True  #: Whether the caller ID must be the account's or a CallToken's (21210, 13214).
    accept_call_tokens: bool = True  #: Whether a CallToken lets a REST dial show the original caller's number.
