"""Generate the reference page of the log events."""

from page_parts import page, prose, words
from source_notes import log_levels

from conferral.runtime import log

MEANINGS = {
    "account_swept": "A sweep compared Twilio's live calls and conferences with the sessions; `findings` differed.",
    "announcement_unknown": "Twilio requested an announcement that is no longer pending, or digits that expired or "
    "were served before; it got a 404.",
    "api_refused": "The control API refused `count` requests since the last line; `reason` is the error's type.",
    "api_token_refused": "`count` wrong API tokens since the last line, the last one from `host`.",
    "api_token_weak": "`CONFERRAL_API_TOKEN` is easy to guess; `reason` says why.",
    "api_tokens_limited": "`count` addresses since the last line, the last one `host`, sent too many wrong API tokens; "
    "further ones get 429.",
    "bridge_recovered": "A sweep opened a session for a bridged call that came in while Redis was away.",
    "call_index_conflict": "The index key of a call holds an unexpected value, so the call could not be indexed.",
    "call_left_alone": "An ended session's hang-up was not sent: the call has come back and opened a later session.",
    "call_not_stored": "Redis could not store a call, which was answered anyway; no command finds it.",
    "client_call_refused": "A browser or app user's call was refused with a spoken message; `reason` says why.",
    "command_deduplicated": "A command arrived again with the same id and content; it ran only once.",
    "command_expired": "A command's deadline passed before it was decided (`rejected`), or began (`failed`).",
    "command_id_reused": "A different command arrived with an id that is already taken; it was not run.",
    "command_limit_exceeded": "More commands wait for the router than Conferral accepts: a program uses XADD.",
    "command_published": "A command was accepted and written to the command stream.",
    "command_rejected": "The router rejected a command before any session saw it.",
    "command_routed": "The router passed a command on to its session's event stream.",
    "commit_conflicted": "A commit found a session changed by another writer, and processes its events one by one.",
    "conference_recovered": "The sweep found a conference of Conferral's without a session, and recovered the session.",
    "console_refused": "The console refused `count` requests since the last line; `reason` is the error's type.",
    "console_started": "The console listens on `host` and `port`.",
    "console_stopped": "The console has stopped.",
    "credentials_refused": "Twilio refused the credentials; requests pause, except for hang-ups.",
    "dead_letter_refused": "Redis refuses the stream of dead letters, so an entry was dropped; `reason` says why.",
    "dead_letters_handled": "An operator handled dead letters or undelivered outcomes on the console.",
    "destination_not_allowed": "The allow-list or a fixed rule forbids an address, so it was not dialed.",
    "dial_action_answered": "A `<Dial>` ended, and its action got TwiML; `outcome` says what the call does next.",
    "dials_refused": "A limit (`reason`: `session` or `minute`) refused a command that dials, or a dial.",
    "directory_absent": "`CONFERRAL_DIRECTORY` is not set, so there was no directory to reload.",
    "directory_read": "The directory was loaded.",
    "directory_refused": "The directory has an error, which `reason` locates; the previous one stays in use.",
    "effect_abandoned": "A request to Twilio failed for good, or its outcome stays unknown.",
    "effect_executed": "A request to Twilio succeeded, or a check showed that it had taken effect.",
    "effect_retried": "A request to Twilio failed and will be repeated after `wait_s`.",
    "entry_dead_lettered": "An event, a command, or an effect could not be processed, so it became a dead letter.",
    "event_decided": "An event left its session's state as it was; `outcome` and `reason` say how it was processed.",
    "event_loop_error": "The event loop reported an error of a connection; only that connection is affected.",
    "event_unexpected": "An event that does not fit its session, such as one of another call, was ignored.",
    "gate_answered": "A called party answered and got TwiML at the gate; `outcome` says which.",
    "hold_limit_reached": "A hold reached `CONFERRAL_HOLD_LIMIT` and was ended; `command` is `hold` or `consult`.",
    "lease_acquired": "This worker has become a partition's owner.",
    "lease_lost": "This worker lost a partition: it did not renew in time, or Redis lacks something or refuses a key.",
    "lease_released": "A stopping or rebalancing worker released a partition's lease.",
    "lost_agent_rung": "The leg of an agent with a desk was lost, and the agent is rung again.",
    "library_logged": "A library logged a warning or an error; its text is left out because it may quote a request. "
    "Of `opentelemetry`, a line a minute: its endpoint takes no traces.",
    "outcome_abandoned": "An outcome could not be sent for three days and counts as undelivered; `reason` says why.",
    "outcome_refused": "CONFERRAL_OUTCOMES_URL did not take an outcome, which is sent again; `count` since then.",
    "outcomes_stopped": "CONFERRAL_OUTCOMES_URL responded with 410; nothing is sent until a resend or a restart.",
    "outcomes_trimmed": "An outcome left the stream before it could be sent; `count` since the last line.",
    "partition_abandoned": "A worker gave up a partition because Redis refused a key or lost writes.",
    "queue_without_desks": "No desk of a number was there for a minute; who waits in its queue goes on.",
    "redis_warning": "Redis is in a state that loses calls or results; `reason` names it.",
    "redis_loss_detected": "Redis lost writes that the partition's owner knows of; it claims the partition again.",
    "connections_dropped": "The server closed connections that waited longest; `count` since the last line.",
    "requests_malformed": "The HTTP server refused requests that it could not parse; `count` since the last line.",
    "rest_completed": "Twilio answered a REST request.",
    "rest_failed": "A REST request was sent, but no answer arrived, so its outcome is unknown.",
    "rest_limit_restored": "Twilio answers again, so the circuit breaker closed; `reason` is why it had opened.",
    "session_reads_requested": "After a loss, `sessions` live sessions of the partition read Twilio once.",
    "writes_unreplicated": "`count` writes count without a copy: no replica acknowledges, and Redis takes writes.",
    "writes_refused": "A commit lost log entries, outcomes, or statuses: another program wrote to the keys in `names`.",
    "sandbox_started": "The sandbox listens on `port`.",
    "sandbox_stopped": "The sandbox has stopped.",
    "records_skipped": "Another program wrote to the sessions in `names`, which can't be read; `reason` names a field.",
    "config_contradicted": "Redis's configuration no longer fits this process, which keeps its settings.",
    "recordings_deleted": "`conferral forget --recordings` deleted a session's recordings at Twilio.",
    "agent_forgotten": "`conferral forget --agent` erased what was stored about an agent's desk.",
    "session_forgotten": "`conferral forget` erased a session.",
    "session_moved": "A session's state changed; `call_sids` names its calls.",
    "session_not_found": "A request names a session that Redis does not have, and the attempt to recover it failed.",
    "session_reopened": "A session that Redis lacked was opened from a later request of its call.",
    "setting_unknown": "An environment variable looks like a setting but isn't one; `reason` suggests a name.",
    "desk_token_issued": "Your server got a desk token for an agent; `token_name` asked for it.",
    "desk_signed_in": "An agent signed in at the desk, in the name of `token_name`; `method` is `link` or `proxy`.",
    "desk_took_over": "A desk had its agent's open line hung up, to be rung again: its browser was gone.",
    "desk_take_over_failed": "Twilio refused to hang up an agent's open line, or can't be reached: see `reason`.",
    "desk_proxy_refused": "A sign-in proxy's headers were refused; `reason`: no-secret, secret-twice, "
    "wrong-secret, wrong-sender, no-name, name-twice (or with a comma), or unknown-name.",
    "desk_signed_out": "A desk's sign-in was ended at the desk.",
    "signed_in": "Someone signed in to the console.",
    "stop_requested": "The process received a signal and is stopping.",
    "store_unreachable": "Redis did not answer or refused a write; `count` errors since the last line.",
    "sweep_abandoned": "A sweep failed, or its part for one `partition`; the next one covers what it missed.",
    "task_ended": "A task of the process ended without being asked to; the process stops with code 1.",
    "task_failed": "A task of the process failed; the process stops with code 1.",
    "fallback_begun": "No one took the call, and the customer goes to the `place` of the fallback.",
    "handoff_data_ignored": "`HandoffData` could not be read; the caller is connected anyway.",
    "agents_skipped": "`count` agents of a number are away, or have no desk, and are not rung.",
    "ring_rejected_as_busy": "The desk of an agent with another call rejects a ring.",
    "agent_away_after_offer": "An agent did not answer an offer of the queue, and is away until a click on *Go ready*.",
    "caller_offered": "A caller who waits in a queue is offered to a desk; `attempt` counts this agent's for the call.",
    "caller_outside_hours": "A call or hand-off came outside the hours of its number; no agent is rung.",
    "handoff_declined": "`HandoffData` says that no person is needed; the call is hung up.",
    "handoff_option_cut": "The end of a hand-off's `brief` was cut: `count` characters did not fit.",
    "handoff_option_ignored": "A hand-off has options that are invalid or unknown, or `params` that don't fit.",
    "handoff_received": "An app hands a live call over.",
    "own_numbers_unread": "Twilio did not list the numbers of the account; those read before still count.",
    "message_recorded": "A caller left a message in the voicemail.",
    "recording_finished": "Twilio has finished a recording: `outcome` says whether there is media, `code` why not.",
    "tracing_unavailable": "No traces are sent; `reason` says why. Calls are not affected.",
    "transfer_concluded": "A transfer is over; `outcome` and `reason` say how it ended.",
    "twilio_lookup_failed": "Twilio did not answer a webhook's query (`method`) in time; the answer goes without.",
    "twilio_unreachable": "Ten requests in a row got no answer or a 5xx; requests pause, except for hang-ups.",
    "tokens_read": "The file of `CONFERRAL_TOKENS` was read; `count` tokens are valid, `CONFERRAL_API_TOKEN` included.",
    "tokens_refused": "The file of `CONFERRAL_TOKENS` has an error; a reload kept the tokens read before.",
    "unexpected_error": "A defect: one item was lost, and everything else continues; `where` says which kind. Each "
    "place has one line a minute, with the `count`.",
    "visit_delayed": "A caller came back before the last session ended, and asks again in a second; `attempt` counts.",
    "visit_limit_reached": "A call has opened `count` sessions; the caller hears a message and is disconnected.",
    "visit_opened": "A call came back to a voice URL and opened session number `count`.",
    "webhook_key_unknown": "Twilio's requests are signed with a key or by an algorithm that is not configured, and get "
    "403; `key_id` is what `setting` lacks, or empty if the header names no key; `count` of this key.",
    "webhook_rejected": "Webhooks rejected requests; `reason` says why, `count` how many since the last line, "
    "`possible_cause` where another region's token may have signed them.",
    "webhook_replayed": "`count` signed voice requests of old calls were sent again; the answer only hangs up.",
    "webhooks_listening": "The webhooks listen on `host` and `port`.",
    "webhooks_stopped": "The webhooks have stopped.",
    "worker_lost": "Another worker has not ticked for its lifetime; this one freed what it owned.",
    "worker_started": "The worker is running.",
    "worker_stopped": "The worker has stopped and released everything.",
}


def _list(rows: list[tuple[str, str]]) -> str:
    return "".join(f"- {name}: {meaning}\n" for name, meaning in rows)


#: From the most to the least urgent, and what to do.
_LEVELS = {"error": "Check now.", "warning": "Check this week.", "info": "", "debug": ""}


def log_events_page() -> str:
    """Return every log event with its meaning, by its most urgent level."""
    rows: dict[str, list[tuple[str, str]]] = {level: [] for level in _LEVELS}
    for name, levels in sorted(log_levels().items()):
        first, *others = (level for level in _LEVELS if level in levels)
        also = f" Also {words(others)}." if others else ""
        rows[first].append((f"`{name}`", MEANINGS.get(name, "") + also))
    intro = prose(
        "Logs go to standard error, one line each, as JSON unless it is a terminal (`CONFERRAL_LOG_FORMAT`). The field "
        "`event` is one of the names below and never varies; variable data is in the [keys](#keys)."
    )
    about_keys = prose(
        "In addition to `event`, `level`, `timestamp`, and `exception`, a line has only keys of this list. In JSON, "
        "`service` is `conferral`, or OpenTelemetry's `service.name`; `process` says what runs, such as `worker`; and "
        "`message` is the event in words, for log viewers. If traces are sent, `trace_id` names the current one."
    )
    personal = "These hold personal data, and are cut to their last two digits: "
    return page(
        "the calls of the logger and scripts/log_events_page.py", "# Log events\n", intro,
        *(f"## {level}\n\n{action and action + chr(10) * 2}{_list(rows[level])}" for level, action in _LEVELS.items()),
        "## Keys\n", about_keys, prose(words(sorted(log.KEYS))),
        prose(f"{personal}{words(sorted(log.REDACTED_KEYS))}."),
    )  # fmt: skip
