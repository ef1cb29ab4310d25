"""Message catalog: events, effects, statuses, reasons, and waits in words.

`{who}` and `{party}` are filled in by `descriptions` and `pending`.
"""

from typing import Literal

WaitSource = Literal["timer", "twilio", "person", "worker", "sweep"]

#: What `explain`, the timeline, and the console say of a failed dial, by its result.
NOT_REACHED = {
    "busy": "{who} was busy",
    "no-answer": "{who} did not answer",
    "rejected": "{who} declined the call",
    "failed": "{who} could not be reached",
    "no-confirmation": "{who} did not press 1",
    "answering-machine": "a machine answered instead of {who}",
}
#: Why a command was refused, or a transfer or a dial failed.
LIMITS = {"hold-limit": "hold limit reached", "dial-limit": "limit of dials reached"}
#: Why a `<Dial>` failed or a request was refused. Source: Twilio docs, Error and Warning Dictionary.
TWILIO_ERRORS = {
    "10004": "the account has as many calls as it may have",
    "13214": "Twilio refused the caller ID",
    "13223": "Twilio found the number malformed",
    "13224": "Twilio can't call the number",
    "13227": "the geo permissions lack the number's country",
    "13236": "the conference was over",
    "16020": "the conference was full",
    "20003": "Twilio refused the credentials",
    "20429": "there were too many requests",
    "21210": "Twilio does not know the caller ID as the account's",
    "21211": "Twilio found the number invalid",
    "21212": "Twilio found the caller ID invalid",
    "21214": "Twilio can't reach the number",
    "21215": "the geo permissions lack the number's country",
    "21216": "Twilio blocks calls to the number",
    "21217": "Twilio found the number invalid",
    "21219": "a trial account calls verified numbers only",
}
#: Why a party was never reached.
UNREACHED = frozenset({*NOT_REACHED, "taken", "cancelled", "canceled", "dial-limit", "not-configured"})
#: Statuses of a call, as they change.
CALL_STATUSES = NOT_REACHED | {
    "queued": "{who} is queued to be dialed",
    "initiated": "dialing {who}",
    "ringing": "{who} is ringing",
    "in-progress": "{who} answered",
    "completed": "{who}'s call ended",
    "canceled": "{who} is no longer being dialed",
}
#: For statuses read from Twilio, which are states rather than changes.
LISTED_STATUSES = {"in-progress": "{who} is connected", "initiated": "{who} is being dialed"}
CONNECTING = {"dialing": "is being dialed", "ringing": "is ringing", "confirming": "is being asked to press 1"}
#: Reason of a command that an operator canceled. Twilio spells a call's status `canceled`.
CANCELED = "cancelled"
#: How the reason of a command begins that an operator overrode with another.
SUPERSEDED = "superseded by "
#: Said of a party whose call ended, unless Conferral was disconnecting it.
HUNG_UP = "hung up"
#: Why a party is gone, if the word itself does not say it.
LEFT_REASONS = {
    "rejected": "declined",
    **dict.fromkeys(("completed", "answered", "in-progress", "participant_hung_up"), HUNG_UP),
    "released": "disconnected by Conferral",
    "redirected-away": "continues with your app",
    "not-ours": "continues outside this session",
    "participant_updated_via_api": "moved out of the conference by another program",
    "taken": "someone else took the call",
    "time-limit": "reached Twilio's time limit",
    "dial-limit": f"not dialed: {LIMITS['dial-limit']}",
    "cancelled": "no longer needed",
}
#: Why a call ended.
END_REASONS = {
    f"{who}-{word}": text.format(who=f"the {who}")
    for who in ("agent", "customer")
    for word, text in (NOT_REACHED | {"left": "{who} hung up"}).items()
} | {
    "transfer-failed": "the transfer failed after the agent had left, and there was no fallback",
    "recall-failed": "the agent could not be called back",
    "fallback-failed": "no place of the fallback took the call",
    "voicemail": "the customer left a message, or hung up after the tone",
    "returned": "no one took the call, and the customer continues with your app",
    "park-timeout": "no one retrieved the parked call in time",
    "alone": "only one party was left in the conference",
    "convert-failed": "customer and agent could not be moved into a conference",
    "moved": "another program gave the call another document; it continues there",
    "command": "an operator ended it",
    "time-limit": "it reached Twilio's time limit",
    "too-old": "it reached the 24 h limit",
}
#: Why a transfer failed.
TRANSFER_FAILURES = {word: text.format(who="target") for word, text in NOT_REACHED.items()} | {
    "hung-up": "target hung up",
    "customer-left": END_REASONS["customer-left"],
    **LIMITS,
    "end-flag-unconfirmed": "Twilio did not confirm that the agent can leave",
}
#: Events whose words need no more than their own fields; `descriptions` describes the others.
EVENTS = {
    "conference_started": "conference started",
    "calls_overdue": "no callback about the calls has arrived; asking Twilio",
    "convert_overdue": "conversion timed out",
    "repair_overdue": "repair of the conversion timed out",
    "lone_overdue": "one party was left alone for too long",
    "dial_overdue": "no callback for a dialed call arrived in time",
    "confirm_overdue": "no callback for a hold, mute, or flag has arrived; asking Twilio",
    "age_overdue": "session reached its maximum age",
    "client_call_received": "outgoing call from a browser or app",
    "opening_overdue": "the waiting party did not join the conference in time",
    "pending_command_overdue": "Twilio did not confirm the command in time",
    "park_overdue": "park timed out",
    "hold_overdue": "a hold reached its limit",
    "call": "call requested: the agent first, then the customer",
    "participant_joined": "{party} joined the conference",
}
AUDIO = {"text": "a message", "url": "a URL"}
FLAGS = {"held": "on hold", "muted": "muted"}
SUPERVISION = {"monitor": "is monitoring", "whisper": "is whispering to the agent", "barge": "is heard by everyone"}
#: Changes of a participant: the request, and the confirmed state.
UPDATES = {
    "hold": ("hold {party}", "{party} is on hold"),
    "unhold": ("take {party} off hold", "{party} is off hold"),
    "mute": ("mute {party}", "{party} is muted"),
    "unmute": ("unmute {party}", "{party} is unmuted"),
    "set-end-on-exit": ("end the conference when {party} leaves", "the conference ends when {party} leaves"),
    "clear-end-on-exit": (
        "keep the conference running when {party} leaves",
        "the conference keeps running when {party} leaves",
    ),
} | {mode: (f"switch {{party}} to {mode}", f"{{party}} {text}") for mode, text in SUPERVISION.items()}
RECORDING = {
    "in-progress": "is in progress",
    "paused": "is paused",
    **dict.fromkeys(("stopped", "processing"), "was stopped"),
    "completed": "is available",
    "absent": "contains no audio",
    "failed": "has failed",
}
SWEEP_FINDINGS = {
    "call-missing": "sweep: Twilio no longer lists one of the session's calls as live",
    "conference-missing": "sweep: Twilio no longer lists the session's conference as live",
    "call-answered": "sweep: Twilio lists a ringing call as answered",
    "call-live": "sweep: Twilio still lists a call, although the session has ended",
    "conference-live": "sweep: Twilio still lists the conference, although the session has ended",
    "conference-unknown": "sweep: Twilio lists a conference of this name, of which the session does not know",
    "rolled-back": "Redis may have lost recent writes; asking Twilio for the current state",
}
#: Named by a gate's event if its call belongs to no party.
CALLED_PARTY = "the called party"
GATE_DECISIONS = NOT_REACHED | {
    "accepted": "{who} passed call screening",
    "taken": "{who} answered too late: someone else had already taken the call",
    "too-late": "{who} answered too late",
}
#: What Conferral asks Twilio to do.
EFFECTS = {
    "redirect_call": "move {party} into the conference",
    "create_participant": "dial {party} into the conference",
    "create_call": "dial {party}",
    "find_call": "find {party}'s call",
    "update_participant": "update {party}",
    "play_announcement": "play an announcement to {party}",
    "start_recording": "record {party}'s call",
    "change_recording": "change the recording",
    "say_and_hang_up": "play a message to {party} and hang up",
    "redirect_to_voicemail": "move {party} to the voicemail",
    "find_message": "find the message that {party} left",
    "redirect_to_url": "redirect {party} to your app's URL",
    "hang_up_call": "hang up {party}'s call",
    "end_conference": "end the conference",
    "read_calls": "report the state of the calls",
}
#: Effects with variants: by kind and by what they request.
EFFECT_VARIANTS = {("update_participant", name): request for name, (request, _) in UPDATES.items()} | {
    ("change_recording", "paused"): "pause the recording",
    ("change_recording", "in-progress"): "resume the recording",
    ("change_recording", "stopped"): "stop the recording",
}
#: What happens when a timer fires.
TIMERS = {
    "calls": "Conferral asks Twilio about the calls",
    "convert": "Conferral moves the missing party into the conference again",
    "repair": "the conversion fails if a party is still missing",
    "lone": "Conferral hangs up the party left alone",
    "dial": "Conferral asks Twilio about the dialed call",
    "confirm": "Conferral asks Twilio whether the change took effect",
    "stage": "Conferral checks on the transfer",
    "opening": "Conferral checks whether the waiting party has joined",
    "pending_command": "the pending command fails",
    "park": "the parked call goes back to the agent who parked it",
    "hold": "Conferral ends the hold, and a consult with it (CONFERRAL_HOLD_LIMIT)",
    "age": "the call reaches its limit of 24 h, and Conferral asks Twilio whether it is over",
}
#: What a party waits for by its status, and who brings it.
PARTY_WAITS: dict[str, tuple[str, WaitSource]] = {
    "dialing": ("Twilio to dial {party}", "twilio"),
    "ringing": ("{party} to answer", "person"),
    "confirming": ("{party} to press 1", "person"),
}
#: A transfer's progress, if its status does not say it.
TRANSFER_STATUSES = {status: f"the target {text}" for status, text in CONNECTING.items()} | {
    "consulting": "agent and target are talking",
    "merged": "all three are talking",
}
#: States at the start of a sentence.
STATES = {
    "bridged": "Bridged",
    "converting": "Converting",
    "conferenced": "In conference",
    "transferring": "Transferring",
}
