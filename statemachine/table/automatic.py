"""Automatic rows: what follows from facts, whose order does not matter.

They are tried after every event, from the first group to the last, and from the top again after each that is taken,
until none holds. So a row may assume that no row above it holds; each group begins with what it may assume. Each row
leads to where it no longer holds, so a few follow an event: 16 would be a cycle, and the decision fails. None is tried in
an ended session, after a refusal, or after an event that `machine.step` drops: a duplicate, a timer that was set again, one
of no use (`ignored_because`). They are tried after an event that `relevance` ignores; it may only add a former call.
`table.row` names the states and stages.
"""

from conferral.statemachine import actions as do
from conferral.statemachine import guards as when
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.table.row import *
from conferral.statemachine.table.stages import BEFORE_DIAL, RETURNING, STAGE_ENDS
from conferral.statemachine.table.unsettled import read_is_due

# fmt: off
LOSS = Group("LOSS", "Nothing: a party may be gone, and no row has followed that up.", (
    #    in         phase       when                       to                 do
    # The leg of an agent with a desk was lost: if the customer is live, the agent is rung again. While a transfer with the
    # agent runs, it goes on meanwhile; if it is over first, the customer waits for the agent.
    auto(V,         ANY,        when.agent_is_lost,        S.MOVING_CUSTOMER, do.recall_lost_agent),
    auto(C,         CONNECTED,  when.agent_is_lost,        S.MOVING_CUSTOMER, do.recall_lost_agent),
    auto(RETURNING, ANY,        when.agent_is_lost,        S.MOVING_CUSTOMER, do.recall_lost_agent),
    auto(RETURNING, ANY,        when.agent_is_coming_back, S.DIALING,         do.await_lost_agent),
    auto(T,         WITH_AGENT, when.lost_agent_is_due,    STAY,              do.ring_lost_agent),
    auto(T,         WITH_AGENT, when.lost_agent_is_back,   STAY,              do.let_returned_agent_talk),
))

ENDS = Group("ENDS", "No agent whose leg was lost is to be rung now.", (
    # The end of a bridge, a conversion, a conference, or a transfer.
    # Redis lost that no one answered, that the agent was lost, or the conversion; or another app began one.
    auto(B,         ANY,       when.caller_joined_for_fallback, S.MOVING_CUSTOMER, do.begin_inbound_fallback),
    auto(B,         ANY,       when.caller_joined_after_loss,   S.MOVING_CUSTOMER, do.recall_lost_agent),
    auto(B,         ANY,       when.bridge_is_over,             E,                 do.end_bridge),
    auto(B,         ANY,       when.caller_joined_alone,        E,                 do.end_bridge),
    auto(B,         ANY,       when.leg_has_joined,             V,                 do.begin_recovered_conversion),

    # An agent who leaves while a transfer is prepared has handed over: it continues as a blind transfer.
    auto(V,         ANY,       when.agent_left_early,          S.MOVING_CUSTOMER, do.continue_alone),
    auto(V,         ANY,       when.both_have_joined,          C,                 do.finish_conversion),
    auto(B,         CONNECTED, when.waited_for_key,            V,                 do.begin_conversion),
    auto(V,         ANY,       when.conversion_has_failed,     E,                 do.end_by_first_to_leave),
    auto(C,         ANY,       when.waiting_party_has_left,    E,                 do.end_waiting_party_gone),
    auto(C,         ANY,       when.is_empty,                  E,                 do.end_by_first_to_leave),
    auto(O.DIALING, ANY,       when.expected_party_takes_part, O.OVER,            (do.finish_call, do.unhold_all, do.settle_conference)),
    # Redis lost the end of a park. In a queue, an agent has taken the call.
    auto(C,         PARKED,    when.parked_call_was_retrieved, STAY,              (do.unhold_all, do.settle_conference)),
    auto(C,         QUEUED,    when.parked_call_was_retrieved, STAY,
        (do.note_taken_from_queue, do.unhold_all, do.settle_conference)),
    auto(T,         VOICEMAIL, when.voicemail_is_over,         E,                 do.end_voicemail),
    auto(T,         VOICEMAIL, when.is_back_from_voicemail,    S.FALLING_BACK,    do.give_up_voicemail),
    auto(T,         ANY,       when.customer_has_left,         E,                 do.end_customer_gone),

    # The grace of a lone party is over, or the time of a parked call or in a queue. Callbacks get lost, so a read may come first.
    auto(C,         ANY,       when.customer_stays_alone,      E,                 do.redirect_to_after_url),
    auto(C,         ANY,       when.customer_was_left_alone,   S.FALLING_BACK,    do.begin_fallback_after_outage),
    auto(C,         ANY,       when.stays_alone,               E,                 do.end_lone_party),
    auto(C,         PARKED,    when.no_one_retrieves,          S.FALLING_BACK,    do.begin_park_fallback),
    auto(C,         QUEUED,    when.no_one_retrieves,          S.FALLING_BACK,    do.leave_queue_at_limit),
))

PROGRESS = Group("PROGRESS", "The session goes on: no customer of a transfer, and no waiting party, has left.", (
    # The step that an agent's leaving completes.
    auto(T,           BLIND,             when.agent_left_by_command,        STAY,                   do.finish_step),

    # Before the other commands, since the next one may reuse the name of a removed party.
    auto(LIVE,        ANY,               when.leaving_party_can_be_hung_up, STAY,                   do.hang_up_leaving_parties),
    auto(LIVE,        ANY,               when.finished_commands,            STAY,                   do.finish_commands),

    # A party waits in the conference for the first answer.
    auto(O.DIALING,   ANY,               when.next_agent_is_due,            STAY,                   do.dial_next_agent),
    auto(O.DIALING,   ANY,               when.inbound_fallback_follows,     S.FALLING_BACK,         do.begin_inbound_fallback),
    auto(O.DIALING,   ANY,               when.expected_party_failed,        E,                      do.end_no_one_reached),
    auto(BEFORE_DIAL, ANY,               when.no_agent_is_configured,       S.FALLING_BACK,         do.begin_inbound_fallback),
    auto(BEFORE_DIAL, ANY,               when.waiting_party_has_joined,     O.DIALING,              do.dial_expected_party),

    # The accepted transfer that led to the conversion.
    auto(C,           ANY,               when.transfer_awaits_conversion,   S.CLEARING_END_ON_EXIT, do.begin_accepted_transfer),

    # All are on hold. (A party that is left alone has a timer.)
    auto(C,           RINGING|CONNECTED, when.all_are_held,                 STAY,                   do.end_hold_of_all),

    # The customer has no one to talk to, and no one is being dialed.
    auto(RETURNING,   ANY,               when.agent_left_after_transfer,    E,                      do.end(EndReason.AGENT_LEFT)),
    auto(T,           RETRIEVE,          when.customer_is_unattended,       C,                      do.return_to_park),
    auto(T,           ANY,               when.customer_is_unattended,       S.FALLING_BACK,         do.note_unreached),

    # What the stage of a transfer waits for has happened.
    *STAGE_ENDS,
))

PEOPLE = Group("PEOPLE", "No state or stage ends now, and these rows leave both as they are.", (
    # Added parties, and the recording.
    auto(C|T,  ANY, when.has_command_ready_to_dial, STAY, do.dial_added_parties),
    auto(LIVE, ANY, when.recording_is_due,          STAY, do.start_recording),
    auto(C|T,  ANY, when.next_recording_action,     STAY, do.change_recording),

    # Who is left alone hears music, and who has company is taken off hold.
    auto(C|T,  ANY, when.party_in_silence,       STAY, do.hold_party_in_silence),
    auto(C|T,  ANY, when.party_on_needless_hold, STAY, do.end_needless_hold),
))

RECONCILE = Group("RECONCILE", "What is desired of each party is final, so at most one update of each follows: see `next_update`.", (
    auto(C|T, ANY, when.party_with_overdue_end_on_exit, STAY, do.give_up_end_on_exit),
    auto(C|T, ANY, when.differs_from_desired,           STAY, do.reconcile),
))

READ = Group("READ", "Nothing else is to be done now.", (
    # What is unsettled is due: see `unsettled`.
    auto(LIVE, ANY, read_is_due, STAY, do.read_calls),
))
# fmt: on
GROUPS = (LOSS, ENDS, PROGRESS, PEOPLE, RECONCILE, READ)
AUTOMATIC = tuple(row for group in GROUPS for row in group.rows)
