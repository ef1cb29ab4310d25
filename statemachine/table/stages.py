"""Stages of a transfer: what ends each, and how long it may last.

Stages are in the order in which a transfer passes through them. `Phase` says which kind of transfer it is. Some have
a limit; a consult's is that of its hold, `HoldOverdue` (`guards.transfer.hold_limits_ms`). In all, what they wait for
may have happened, and its callback was lost: `unsettled` says when Twilio is read. No read shows the pause of a
recording: its request's result, a callback, or the limit decides. Of the reads of a hold, the first comes before the
limit.
"""

from typing import NamedTuple

from conferral.statemachine import actions as do
from conferral.statemachine import guards as when
from conferral.statemachine.events import Event, StageOverdue
from conferral.statemachine.states import Opening
from conferral.statemachine.step import Draft
from conferral.statemachine.table.row import *


class Limit(NamedTuple):
    """How long a stage may last, and what follows then."""

    stage: S
    phases: Phases | None
    #: Its name in `Policy`.
    timeout: str
    target: Target
    actions: Actions


#: Stages of an opening before the other party is dialed.
BEFORE_DIAL = (O.CALLING, O.ARRIVING)
#: Only customer and agent take part.
BEFORE_ANSWER = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER, S.DIALING)
#: Agent and target talk or are about to; no one has been released.
TOGETHER = (S.TALKING, S.HOLDING_FOR_SWAP, S.UNHOLDING)
#: The customer goes back to the agent.
RETURNING = (S.CANCELLING, S.RETURNING_CUSTOMER)
#: The agent had left before the dial.
LATER_DIALS = RECALL | RETRIEVE | FALLBACK
#: The transfer is over except for Twilio's confirmations.
ENDING_STAGES = (S.RELEASING_AGENT, *RETURNING)

# fmt: off
TRANSFER_STAGES: tuple[Row | Limit, ...] = (
    # Row by row: stages, phase, until or limit, to, do

    # Twilio confirms that the conference survives the agent's leaving (`EndConferenceOnExit`).
    # An agent who leaves before the target answers has handed over.
    auto( BEFORE_ANSWER,          WITH_AGENT,   when.agent_is_gone,   S.HOLDING_CUSTOMER,   (do.continue_as_blind, do.hold_customer)),
    auto( S.CLEARING_END_ON_EXIT, WARM,         when.agent_may_leave, S.DIALING,            do.dial_targets),
    auto( S.CLEARING_END_ON_EXIT, CONSULT,      when.agent_may_leave, S.HOLDING_CUSTOMER,
        (do.hold_customer, do.hold_agent_if_gated, do.forget_recording_failures)),
    auto( S.CLEARING_END_ON_EXIT, PARK | BLIND, when.agent_may_leave, S.HOLDING_CUSTOMER,   do.hold_customer),
    Limit(S.CLEARING_END_ON_EXIT, ANY,          "hold_timeout_ms",    S.RETURNING_CUSTOMER, do.fail_and_return),

    # Twilio confirms that the customer is on hold, and for a consult, that a recording of the conference is paused. Only
    # then, a consult's target is dialed: they never hear each other.
    auto( S.HOLDING_CUSTOMER, CONSULT,        when.consult_is_prepared, S.DIALING,            do.dial_targets),
    auto( S.HOLDING_CUSTOMER, PARK,           when.customer_is_held,    S.PARKING,            do.mark_agent_leaving),
    # Before the dial, the agent is hung up: they must not hear a target who answers immediately.
    auto( S.HOLDING_CUSTOMER, BLIND,          when.customer_is_held,    S.DIALING,
        (do.mark_agent_leaving, do.hang_up_leaving_parties, do.dial_targets)),
    # The target was dialed before the agent left, and answers first.
    auto( S.HOLDING_CUSTOMER, BLIND,          when.answering_party,     S.UNHOLDING_CUSTOMER,
        (do.choose_winner, do.unhold_waiting, do.mark_agent_leaving)),
    # Without a hold, a blind transfer goes on: the customer only hears no ringing.
    Limit(S.HOLDING_CUSTOMER, CONSULT | PARK, "hold_timeout_ms",        S.RETURNING_CUSTOMER, do.fail_and_return),
    Limit(S.HOLDING_CUSTOMER, BLIND,          "hold_timeout_ms",        S.DIALING,
        (do.mark_agent_leaving, do.hang_up_leaving_parties, do.dial_targets)),

    # The customer, without the agent, moves from the bridge into the conference.
    auto(S.MOVING_CUSTOMER, FALLBACK,     when.customer_has_arrived, S.FALLING_BACK,     ()),
    auto(S.MOVING_CUSTOMER, RECALL,       when.customer_is_live,     S.FALLING_BACK,     ()),
    auto(S.MOVING_CUSTOMER, PARK | BLIND, when.customer_has_arrived, S.HOLDING_CUSTOMER, do.hold_customer),

    # The agent who parks the call leaves.
    auto(S.PARKING, ANY, when.customer_is_parked, C, do.note_parked),

    # A dialed party joins: a target, the recalled agent, or the party that retrieves a parked call.
    auto(S.DIALING, WITH_AGENT,  when.answering_party,  S.TALKING,            (do.choose_winner, do.let_agent_talk)),
    auto(S.DIALING, BLIND,       when.answering_party,  S.UNHOLDING_CUSTOMER, (do.choose_winner, do.unhold_waiting, do.mark_agent_leaving)),
    auto(S.DIALING, LATER_DIALS, when.answering_party,  S.UNHOLDING_CUSTOMER, (do.choose_winner, do.unhold_waiting)),
    auto(S.DIALING, WITH_AGENT,  when.targets_are_gone, S.RETURNING_CUSTOMER, do.fail_and_return),

    # Agent and target talk, in a warm transfer with the customer: until a command, or until one of them leaves.
    # The agent's leaving counts as `complete`, the target's as `cancel`. If both have left, the fallback comes first.
    auto(TOGETHER,                  ANY, when.agent_is_gone,     S.COMPLETING,         do.complete_after_agent_left),
    auto((*TOGETHER, S.COMPLETING), ANY, when.no_target_remains, S.RETURNING_CUSTOMER, do.note_target_left),

    # In a swap, Twilio confirms the hold of the agent's previous party, then the unhold of the next one: they never hear
    # each other. In a merge, all three are taken off hold.
    auto( S.HOLDING_FOR_SWAP, ANY, when.previous_party_is_held, S.UNHOLDING, do.unhold_next_party),
    Limit(S.HOLDING_FOR_SWAP, ANY, "hold_timeout_ms",           S.UNHOLDING, do.undo_swap),
    auto( S.UNHOLDING,        ANY, when.talking_are_unheld,     S.TALKING,   do.finish_swap_or_merge),

    # Twilio confirms that customer and target are off hold; then the agent leaves.
    auto(S.COMPLETING,      ANY, when.talking_are_unheld, S.RELEASING_AGENT, do.mark_agent_leaving),
    auto(S.RELEASING_AGENT, ANY, when.agent_is_gone,      C,                 (do.complete_transfer, do.settle_conference)),

    # Twilio confirms that the customer, now with the party that answered, is off hold.
    auto(S.UNHOLDING_CUSTOMER, ANY, when.customer_was_taken_over, C, (do.complete_transfer, do.settle_conference)),

    # The canceled target leaves; then Twilio confirms that the customer, back with the agent, is off hold.
    auto(S.CANCELLING,         ANY, when.targets_are_gone,   S.RETURNING_CUSTOMER, do.unhold_all),
    auto(S.RETURNING_CUSTOMER, ANY, when.customer_is_unheld, C,                    (do.return_to_agent, do.settle_conference)),

    # The next place of the fallback follows immediately. A recall waits if the agent was rung before.
    auto( S.FALLING_BACK,      ANY,    when.found_guests_stay,   S.RETURNING_CUSTOMER, do.unhold_all),
    auto( S.FALLING_BACK,      RECALL, when.recall_is_repeated,  S.WAITING_TO_RECALL,  ()),
    auto( S.FALLING_BACK,      ANY,    when.recall_is_next,      S.DIALING,            do.begin_recall),
    auto( S.FALLING_BACK,      ANY,    when.destination_is_next, S.DIALING,            do.dial_fallback),
    auto( S.FALLING_BACK,      ANY,    when.others_stay,         S.RETURNING_CUSTOMER, do.unhold_all),
    auto( S.FALLING_BACK,      ANY,    when.queue_has_no_desk,   S.FALLING_BACK,       do.skip_queue),
    auto( S.FALLING_BACK,      ANY,    when.queue_is_next,       C,                    do.begin_queue),
    auto( S.FALLING_BACK,      ANY,    when.voicemail_is_next,   S.LEAVING_MESSAGE,    do.move_to_voicemail),
    auto( S.FALLING_BACK,      ANY,    when.url_is_next,         E,                    do.return_to_url),
    auto( S.FALLING_BACK,      ANY,    None,                     E,                    do.end_transfer_failed),
    auto( S.WAITING_TO_RECALL, ANY,    when.found_guests_stay,   S.RETURNING_CUSTOMER, do.unhold_all),
    Limit(S.WAITING_TO_RECALL, ANY,    "recall_pause_ms",        S.DIALING,            do.ring_agent),
)
# fmt: on
#: These are among the automatic rows.
STAGE_ENDS = tuple(one for one in TRANSFER_STAGES if isinstance(one, Row))
LIMITS = tuple(one for one in TRANSFER_STAGES if isinstance(one, Limit))
TIMEOUTS = tuple(Row(one.stage, one.phases, StageOverdue, None, one.target, one.actions) for one in LIMITS)


def enter_stage(stage: Stage) -> Action:
    """Return the action that enters a stage, and sets or ends its timer.

    It runs after the row's actions, so the phase is the new one, which picks the limit.
    """

    def enter(draft: Draft, _event: Event) -> None:
        if isinstance(stage, Opening):
            draft.change(opening=stage)
            return
        draft.change_transfer(stage=stage, former_shown="")
        limits = (one for one in LIMITS if one.stage is stage and (not one.phases or draft.session.phase in one.phases))
        limit = next(limits, None)
        if limit is None:
            draft.cancel_timers(StageOverdue)
        else:
            draft.set_timer(StageOverdue, getattr(draft.policy, limit.timeout))

    return enter
