"""Rows without an event: tried after every event that was taken.

They derive what follows from facts, so the order of callbacks does not matter. Each leads to where it no longer holds.
"""

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import *
from conferral.statemachine.table.stages import ENDS, RETURNING

#: Stages of an opening before the other party is dialed.
BEFORE_DIAL = (O.CALLING, O.ARRIVING)

# fmt: off
AUTOMATIC: tuple[Row, ...] = (
    #   in           phase     event         when                               to                      do

    # The end of a bridge, a conversion, a conference, or a transfer.
    # An agent who leaves while a transfer is prepared has handed over: it continues as a blind transfer.
    Row(V,           ANY,      on.Automatic, when.agent_left_early,             S.MOVING_CUSTOMER,      do.continue_alone),
    Row(B,           ANY,      on.Automatic, when.bridge_is_over,               E,                      do.end_bridge),
    Row(V,           ANY,      on.Automatic, when.conversion_is_over,           E,                      do.end_by_first_to_leave),
    Row(C,           ANY,      on.Automatic, when.waiting_party_has_left,       E,                      do.end_waiting_party_gone),
    Row(C,           ANY,      on.Automatic, when.is_empty,                     E,                      do.end_by_first_to_leave),
    Row(O.DIALING,   ANY,      on.Automatic, when.expected_party_takes_part,    O.OVER,                 do.finish_opening),
    # Commands that arrived during the conversion.
    Row(C,           ANY,      on.Automatic, when.has_queued_command,           STAY,                   do.begin_queued_commands),
    # Redis lost the end of a park, or the start of a transfer.
    Row(C,           PARKED,   on.Automatic, when.parked_call_was_retrieved,    STAY,                   do.unpark),
    Row(C,           SETTLED,  on.Automatic, when.has_lost_transfer,            S.DIALING,              do.resume_lost_transfer),
    Row(T,           ANY,      on.Automatic, when.customer_has_left,            E,                      do.end_customer_gone),

    # Reads and recordings that are due, and the step that an agent's leaving completes.
    Row(LIVE,        ANY,      on.Automatic, when.reread_is_due,                STAY,                   do.read_calls),
    Row(B|V,         ANY,      on.Automatic, when.recording_is_due,             STAY,                   do.record_customer),
    Row(T,           BLIND,    on.Automatic, when.agent_left_by_command,        STAY,                   do.report_agent_gone),

    # Before the other commands, since the next one may reuse the name of a removed party.
    Row(LIVE,        ANY,      on.Automatic, when.leaving_party_can_be_hung_up, STAY,                   do.hang_up_leaving_parties),
    Row(LIVE,        ANY,      on.Automatic, when.has_finished_command,         STAY,                   do.finish_commands),

    # A party waits in the conference for the first answer.
    Row(O.DIALING,   ANY,      on.Automatic, when.next_agent_is_due,            STAY,                   do.dial_next_agent),
    Row(O.DIALING,   ANY,      on.Automatic, when.expected_party_failed,        E,                      do.end_no_one_reached),
    Row(BEFORE_DIAL, ANY,      on.Automatic, when.waiting_party_has_joined,     O.DIALING,              do.dial_expected_party),

    # The transfer that led to the conversion.
    Row(C,           ANY,      on.Automatic, when.transfer_awaits_conversion,   S.CLEARING_END_ON_EXIT, do.begin_pending_transfer),

    # All are on hold. (A party that is left alone has a timer.)
    Row(C,           ANY,      on.Automatic, when.all_are_held,                 STAY,                   do.unhold_all),

    # The customer has no one to talk to, and no one is being dialed.
    Row(RETURNING,   ANY,      on.Automatic, when.agent_left_after_transfer,    E,                      do.end(EndReason.AGENT_LEFT)),
    Row(T,           RETRIEVE, on.Automatic, when.fallback_is_due,              C,                      do.return_to_park),
    Row(T,           ANY,      on.Automatic, when.failed_with_others_present,   S.RETURNING_CUSTOMER,   (do.note_transfer_failed, do.unhold_all)),
    Row(T,           ANY,      on.Automatic, when.transfer_failed_for_good,     E,                      do.end_transfer_failed),
    Row(T,           RECALL,   on.Automatic, when.fallback_is_due,              S.WAITING_TO_RECALL,    do.note_unreached),
    Row(T,           ANY,      on.Automatic, when.recall_must_wait,             S.WAITING_TO_RECALL,    (do.note_unreached, do.begin_recall_pause)),
    Row(T,           ANY,      on.Automatic, when.fallback_is_due,              S.DIALING,              (do.note_unreached, do.begin_fallback)),

    # What the stage of a transfer waits for has happened: see `stages`.
    *ENDS,

    # Added parties, supervisors, and the recording.
    Row(C|T,         ANY,      on.Automatic, when.has_command_ready_to_dial,    STAY,                   do.dial_added_parties),
    Row(C|T,         ANY,      on.Automatic, when.supervisor_has_joined,        STAY,                   do.await_supervisor_mode),
    Row(C|T,         ANY,      on.Automatic, when.supervisor_has_left,          STAY,                   do.note_supervisor_left),
    Row(C|T,         ANY,      on.Automatic, when.recording_is_due,             STAY,                   do.record_customer),
    Row(C|T,         ANY,      on.Automatic, when.should_resume_recording,      STAY,                   do.resume_after_consult),

    # Last, once the desired state is final: one update at a time, a hold before end-on-exit.
    Row(C|T,         ANY,      on.Automatic, when.silent_party,                 STAY,                   do.hold_silent_party),
    Row(C|T,         ANY,      on.Automatic, when.kept_party,                   STAY,                   do.unhold_kept_party),
    Row(C|T,         ANY,      on.Automatic, when.differs_from_desired,         STAY,                   do.reconcile),
    Row(C|T,         ANY,      on.Automatic, when.is_reconciled,                STAY,                   do.finish_reconciliation),
)
# fmt: on
