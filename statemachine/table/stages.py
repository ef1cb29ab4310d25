"""Rows without an event; the stages of a transfer, and how long they last.

Stages are in the order in which a transfer passes through them. `Phase` says which kind of transfer it is. Some have a
limit. In all, what they wait for may have happened, and its callback was lost: `unsettled` says when Twilio is read. No
read shows the pause of a recording: its request's result, a callback, or the limit decides. Of the reads of a hold, the
first comes before the limit.
"""

from typing import NamedTuple

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine import guards as when
from conferral.statemachine.events import Event, StageOverdue
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.states import Opening
from conferral.statemachine.step import Draft
from conferral.statemachine.table.row import *
from conferral.statemachine.table.unsettled import read_is_due


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
STAGES: tuple[Row | Limit, ...] = (
    #     stages                     phase           event         until, or limit  to                    do

    # Twilio confirms that the conference survives the agent's leaving (`EndConferenceOnExit`).
    # An agent who leaves before the target answers has handed over.
    Row(  BEFORE_ANSWER,             WITH_AGENT,     on.Automatic, when.agent_is_gone,           S.HOLDING_CUSTOMER,   (do.continue_as_blind, do.hold_customer)),
    Row(  S.CLEARING_END_ON_EXIT,    WARM,           on.Automatic, when.agent_may_leave,         S.DIALING,            do.dial_targets),
    Row(  S.CLEARING_END_ON_EXIT,    CONSULT,        on.Automatic, when.agent_may_leave,         S.HOLDING_CUSTOMER,   (do.hold_customer, do.hold_agent_if_gated, do.forget_recording_failures)),
    Row(  S.CLEARING_END_ON_EXIT,    PARK | BLIND,   on.Automatic, when.agent_may_leave,         S.HOLDING_CUSTOMER,   do.hold_customer),
    Limit(S.CLEARING_END_ON_EXIT,    ANY,                          "hold_timeout_ms",            S.RETURNING_CUSTOMER, do.fail_and_return),

    # Twilio confirms that the customer is on hold, and for a consult, that a recording of the conference is paused. Only
    # then, a consult's target is dialed: they never hear each other.
    Row(  S.HOLDING_CUSTOMER,        CONSULT,        on.Automatic, when.consult_is_prepared,     S.DIALING,            do.dial_targets),
    Row(  S.HOLDING_CUSTOMER,        PARK,           on.Automatic, when.customer_is_held,        S.PARKING,            do.mark_agent_leaving),
    # Before the dial, the agent is hung up: they must not hear a target who answers immediately.
    Row(  S.HOLDING_CUSTOMER,        BLIND,          on.Automatic, when.customer_is_held,        S.DIALING,            (do.mark_agent_leaving, do.hang_up_leaving_parties, do.dial_targets)),
    # The target was dialed before the agent left, and answers first.
    Row(  S.HOLDING_CUSTOMER,        BLIND,          on.Automatic, when.answering_party,         S.UNHOLDING_CUSTOMER, (do.choose_winner, do.unhold_waiting, do.mark_agent_leaving)),
    # Without a hold, a blind transfer goes on: the customer only hears no ringing.
    Limit(S.HOLDING_CUSTOMER,        CONSULT | PARK,               "hold_timeout_ms",            S.RETURNING_CUSTOMER, do.fail_and_return),
    Limit(S.HOLDING_CUSTOMER,        BLIND,                        "hold_timeout_ms",            S.DIALING,            (do.mark_agent_leaving, do.hang_up_leaving_parties, do.dial_targets)),

    # The customer, without the agent, moves from the bridge into the conference.
    Row(  S.MOVING_CUSTOMER,         FALLBACK,       on.Automatic, when.customer_has_arrived,    S.FALLING_BACK,       ()),
    Row(  S.MOVING_CUSTOMER,         RECALL,         on.Automatic, when.customer_is_live,        S.FALLING_BACK,       ()),
    Row(  S.MOVING_CUSTOMER,         PARK | BLIND,   on.Automatic, when.customer_has_arrived,    S.HOLDING_CUSTOMER,   do.hold_customer),

    # The agent who parks the call leaves.
    Row(  S.PARKING,                 ANY,            on.Automatic, when.customer_is_parked,      C,                    do.note_parked),

    # A dialed party joins: a target, the recalled agent, or the party that retrieves a parked call.
    Row(  S.DIALING,                 WITH_AGENT,     on.Automatic, when.answering_party,         S.TALKING,            (do.choose_winner, do.let_agent_talk)),
    Row(  S.DIALING,                 BLIND,          on.Automatic, when.answering_party,         S.UNHOLDING_CUSTOMER, (do.choose_winner, do.unhold_waiting, do.mark_agent_leaving)),
    Row(  S.DIALING,                 LATER_DIALS,    on.Automatic, when.answering_party,         S.UNHOLDING_CUSTOMER, (do.choose_winner, do.unhold_waiting)),
    Row(  S.DIALING,                 WITH_AGENT,     on.Automatic, when.targets_are_gone,        S.RETURNING_CUSTOMER, do.fail_and_return),

    # Agent and target talk, in a warm transfer with the customer: until a command, or until one of them leaves.
    # The agent's leaving counts as `complete`, the target's as `cancel`. If both have left, the fallback comes first.
    Row(  TOGETHER,                  ANY,            on.Automatic, when.agent_is_gone,           S.COMPLETING,         do.complete_after_agent_left),
    Row(  (*TOGETHER, S.COMPLETING), ANY,            on.Automatic, when.no_target_remains,       S.RETURNING_CUSTOMER, do.note_target_left),

    # In a swap, Twilio confirms the hold of the agent's previous party, then the unhold of the next one: they never hear
    # each other. In a merge, all three are taken off hold.
    Row(  S.HOLDING_FOR_SWAP,        ANY,            on.Automatic, when.previous_party_is_held,  S.UNHOLDING,          do.unhold_next_party),
    Limit(S.HOLDING_FOR_SWAP,        ANY,                          "hold_timeout_ms",            S.UNHOLDING,          do.undo_swap),
    Row(  S.UNHOLDING,               ANY,            on.Automatic, when.talking_are_unheld,      S.TALKING,            do.finish_swap_or_merge),

    # Twilio confirms that customer and target are off hold; then the agent leaves.
    Row(  S.COMPLETING,              ANY,            on.Automatic, when.talking_are_unheld,      S.RELEASING_AGENT,    do.mark_agent_leaving),
    Row(  S.RELEASING_AGENT,         ANY,            on.Automatic, when.agent_is_gone,           C,                    (do.complete_transfer, do.settle_conference)),

    # Twilio confirms that the customer, now with the party that answered, is off hold.
    Row(  S.UNHOLDING_CUSTOMER,      ANY,            on.Automatic, when.customer_was_taken_over, C,                    (do.complete_transfer, do.settle_conference)),

    # The canceled target leaves; then Twilio confirms that the customer, back with the agent, is off hold.
    Row(  S.CANCELLING,              ANY,            on.Automatic, when.targets_are_gone,        S.RETURNING_CUSTOMER, do.unhold_all),
    Row(  S.RETURNING_CUSTOMER,      ANY,            on.Automatic, when.customer_is_unheld,      C,                    (do.return_to_agent, do.settle_conference)),

    # The next place of the fallback follows immediately. A recall waits if the agent was rung before.
    Row(  S.FALLING_BACK,            RECALL,         on.Automatic, when.recall_is_repeated,      S.WAITING_TO_RECALL,  ()),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.recall_is_next,          S.DIALING,            do.begin_recall),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.destination_is_next,     S.DIALING,            do.dial_fallback),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.others_stay,             S.RETURNING_CUSTOMER, do.unhold_all),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.voicemail_is_next,       S.LEAVING_MESSAGE,    do.move_to_voicemail),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.url_is_next,             E,                    do.return_to_url),
    Row(  S.FALLING_BACK,            ANY,            on.Automatic, when.no_place_is_left,        E,                    do.end_transfer_failed),
    Limit(S.WAITING_TO_RECALL,       ANY,                          "recall_pause_ms",            S.DIALING,            do.ring_agent),
)
# fmt: on
ENDS = tuple(one for one in STAGES if isinstance(one, Row))
#: Tried after every event that was taken: what follows from facts, whose order does not matter. Each row leads to where
#: it no longer holds.
# fmt: off
AUTOMATIC: tuple[Row, ...] = (
    #   in            phase       event         when                               to                      do

    # The leg of an agent with a desk was lost: if the customer is live, the agent is rung again. While a transfer with the
    # agent runs, it goes on meanwhile; if it is over first, the customer waits for the agent.
    Row(V,            ANY,        on.Automatic, when.agent_is_lost,                S.MOVING_CUSTOMER,      do.recall_lost_agent),
    Row(C,            CONNECTED,  on.Automatic, when.agent_is_lost,                S.MOVING_CUSTOMER,      do.recall_lost_agent),
    Row(RETURNING,    ANY,        on.Automatic, when.agent_is_lost,                S.MOVING_CUSTOMER,      do.recall_lost_agent),
    Row(RETURNING,    ANY,        on.Automatic, when.agent_is_coming_back,         S.DIALING,              do.await_lost_agent),
    Row(T,            WITH_AGENT, on.Automatic, when.lost_agent_is_due,            STAY,                   do.ring_lost_agent),
    Row(T,            WITH_AGENT, on.Automatic, when.lost_agent_is_back,           STAY,                   do.let_lost_agent_talk),

    # The end of a bridge, a conversion, a conference, or a transfer.
    # An agent who leaves while a transfer is prepared has handed over: it continues as a blind transfer.
    Row(V,            ANY,        on.Automatic, when.agent_left_early,             S.MOVING_CUSTOMER,      do.continue_alone),
    Row(V,            ANY,        on.Automatic, when.both_have_joined,             C,                      do.finish_conversion),
    Row(B,            ANY,        on.Automatic, when.bridge_is_over,               E,                      do.end_bridge),
    Row(B,            CONNECTED,  on.Automatic, when.waited_for_key,               V,                      do.begin_conversion),
    Row(V,            ANY,        on.Automatic, when.conversion_has_failed,        E,                      do.end_by_first_to_leave),
    Row(C,            ANY,        on.Automatic, when.waiting_party_has_left,       E,                      do.end_waiting_party_gone),
    Row(C,            ANY,        on.Automatic, when.is_empty,                     E,                      do.end_by_first_to_leave),
    Row(O.DIALING,    ANY,        on.Automatic, when.expected_party_takes_part,    O.OVER,                 (do.finish_call, do.unhold_all, do.settle_conference)),
    # Redis lost the end of a park, or the start of a transfer.
    Row(C,            PARKED,     on.Automatic, when.parked_call_was_retrieved,    STAY,                   (do.unhold_all, do.settle_conference)),
    Row(C,            CONNECTED,  on.Automatic, when.has_lost_transfer,            S.DIALING,              do.resume_lost_transfer),
    Row(T,            VOICEMAIL,  on.Automatic, when.voicemail_is_over,            E,                      do.end_voicemail),
    Row(T,            VOICEMAIL,  on.Automatic, when.has_left_voicemail,           S.FALLING_BACK,         do.give_up_voicemail),
    Row(T,            ANY,        on.Automatic, when.customer_has_left,            E,                      do.end_customer_gone),

    # The grace of a lone party is over, or the time of a parked call. Callbacks get lost, so a read may come first.
    Row(C,            ANY,        on.Automatic, when.customer_stays_alone,         E,                      do.redirect_to_after_url),
    Row(C,            ANY,        on.Automatic, when.stays_alone,                  E,                      do.end_lone_party),
    Row(C,            PARKED,     on.Automatic, when.no_one_retrieves,             S.FALLING_BACK,         do.begin_park_fallback),

    # The step that an agent's leaving completes.
    Row(T,            BLIND,      on.Automatic, when.agent_left_by_command,        STAY,                   do.finish_step),

    # Before the other commands, since the next one may reuse the name of a removed party.
    Row(LIVE,         ANY,        on.Automatic, when.leaving_party_can_be_hung_up, STAY,                   do.hang_up_leaving_parties),
    Row(LIVE,         ANY,        on.Automatic, when.finished_commands,            STAY,                   do.finish_commands),

    # A party waits in the conference for the first answer.
    Row(O.DIALING,    ANY,        on.Automatic, when.next_agent_is_due,            STAY,                   do.dial_next_agent),
    Row(O.DIALING,    ANY,        on.Automatic, when.inbound_fallback_follows,     S.FALLING_BACK,         do.begin_inbound_fallback),
    Row(O.DIALING,    ANY,        on.Automatic, when.expected_party_failed,        E,                      do.end_no_one_reached),
    Row(BEFORE_DIAL,  ANY,        on.Automatic, when.no_agent_is_configured,       S.FALLING_BACK,         do.begin_inbound_fallback),
    Row(BEFORE_DIAL,  ANY,        on.Automatic, when.waiting_party_has_joined,     O.DIALING,              do.dial_expected_party),

    # The transfer that led to the conversion.
    Row(C,            ANY,        on.Automatic, when.transfer_awaits_conversion,   S.CLEARING_END_ON_EXIT, do.begin_pending_transfer),

    # All are on hold. (A party that is left alone has a timer.)
    Row(C,            ANY,        on.Automatic, when.all_are_held,                 STAY,                   do.unhold_all),

    # The customer has no one to talk to, and no one is being dialed.
    Row(RETURNING,    ANY,        on.Automatic, when.agent_left_after_transfer,    E,                      do.end(EndReason.AGENT_LEFT)),
    Row(T,            RETRIEVE,   on.Automatic, when.customer_is_unattended,       C,                      do.return_to_park),
    Row(T,            ANY,        on.Automatic, when.customer_is_unattended,       S.FALLING_BACK,         do.note_unreached),

    # What the stage of a transfer waits for has happened: see `STAGES`.
    *ENDS,

    # Added parties, and the recording.
    Row(C|T,          ANY,        on.Automatic, when.has_command_ready_to_dial,    STAY,                   do.dial_added_parties),
    Row(LIVE,         ANY,        on.Automatic, when.recording_is_due,             STAY,                   do.start_recording),
    Row(C|T,          ANY,        on.Automatic, when.next_recording_action,        STAY,                   do.change_recording),

    # Last, once the desired state is final: at most one update of each party, see `next_update`.
    Row(C|T,          ANY,        on.Automatic, when.silent_party,                 STAY,                   do.hold_silent_party),
    Row(C|T,          ANY,        on.Automatic, when.kept_party,                   STAY,                   do.unhold_kept_party),
    Row(C|T,          ANY,        on.Automatic, when.unset_end_on_exit,            STAY,                   do.give_up_end_on_exit),
    Row(C|T,          ANY,        on.Automatic, when.differs_from_desired,         STAY,                   do.reconcile),

    # What is unsettled is due: see `unsettled`.
    Row(LIVE,         ANY,        on.Automatic, read_is_due,                       STAY,                   do.read_calls),
)
# fmt: on
LIMITS = tuple(one for one in STAGES if isinstance(one, Limit))
TIMEOUTS = tuple(Row(one.stage, one.phases, StageOverdue, None, one.target, one.actions) for one in LIMITS)


def enter_stage(stage: Stage) -> Action:
    """Return the action that enters a stage and sets its timer."""

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
