"""Stages of a transfer: what ends each, its time limit, and what follows."""

from collections.abc import Callable
from typing import NamedTuple

from conferral.statemachine import actions as do
from conferral.statemachine import guards as when
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Automatic, Event, StageOverdue
from conferral.statemachine.guards.transfer import a_party_is_missing, agent_lingers, asked_pause_ms
from conferral.statemachine.states import Opening, Phase
from conferral.statemachine.table.row import STAY, Action, Actions, C, Guard, Row, S, Source, Stages

#: Name of a timeout in `Policy`, or a function that returns one in milliseconds, None for no limit.
Timeout = str | Callable[[Draft], int | None]


class Until(NamedTuple):
    """What ends stages, and what follows."""

    stages: S | Stages
    guard: Guard
    target: Source | None
    actions: Actions


class Limit(NamedTuple):
    """How long a stage may last, and what follows then."""

    stage: S
    timeout: Timeout
    target: Source | None
    actions: Actions


def hold_or_ringback_timeout(draft: Draft) -> int:
    """`hold_timeout_ms` to keep a talk private, else `ringback_timeout_ms`."""
    policy = draft.policy
    return policy.hold_timeout_ms if draft.session.phase in (Phase.CONSULT, Phase.PARK) else policy.ringback_timeout_ms


def leave_or_arrive_timeout(draft: Draft) -> int:
    """`leave_timeout_ms` if the agent lingers, else `arrive_timeout_ms`."""
    return draft.policy.leave_timeout_ms if agent_lingers(draft) else draft.policy.arrive_timeout_ms


def leave_timeout_if_missing(draft: Draft) -> int | None:
    """`leave_timeout_ms` if a party has yet to leave or join, else no limit."""
    return draft.policy.leave_timeout_ms if a_party_is_missing(draft) else None


def recall_pause(draft: Draft) -> int:
    """`recall_pause_ms`, or longer if Twilio asked to wait longer."""
    return max(draft.policy.recall_pause_ms, asked_pause_ms(draft))


#: Only customer and agent take part.
BEFORE_ANSWER = (S.CLEARING_END_ON_EXIT, S.HOLDING_CUSTOMER, S.PAUSING_RECORDING, S.DIALING)
#: Agent and target talk or are about to; no one has been released.
TOGETHER = (S.TALKING, S.SWAPPING, S.SWAPPED, S.MERGING)
#: The customer goes back to the agent.
RETURNING = (S.CANCELLING, S.RETURNING_CUSTOMER)
#: The transfer is over except for Twilio's confirmations.
ENDING = (S.RELEASING_AGENT, *RETURNING)
#: The agent, or a fallback, is called: now or after a pause.
CALLING_BACK = (S.WAITING_TO_RECALL, S.DIALING)

# fmt: off
STAGES: tuple[Until | Limit, ...] = (
    #     stages                     until, or at most              to                                            do
    # An agent who leaves before the target answers has handed over.
    Until(S.CLEARING_END_ON_EXIT,    when.agent_left_before_answer, STAY,                                         do.continue_as_blind),
    Until(BEFORE_ANSWER,             when.agent_left_before_answer, S.HOLDING_CUSTOMER,                           do.continue_as_blind),

    Until(S.CLEARING_END_ON_EXIT,    when.agent_may_leave,          (S.HOLDING_CUSTOMER, S.DIALING),              do.hold_customer_or_dial),
    Limit(S.CLEARING_END_ON_EXIT,    "hold_timeout_ms",             S.RETURNING_CUSTOMER,                         do.fail_unconfirmed),

    Until(S.HOLDING_CUSTOMER,        when.customer_is_held,         (S.PARKING, S.PAUSING_RECORDING, S.DIALING),  do.dial_or_release_agent),
    # An agent released before the answer need not be waited for once it comes.
    Until(S.HOLDING_CUSTOMER,        when.blind_target_joined,      S.UNHOLDING_CUSTOMER,                         do.hand_over),
    Limit(S.HOLDING_CUSTOMER,        hold_or_ringback_timeout,      (S.RETURNING_CUSTOMER, S.PARKING, S.DIALING), do.fail_or_continue_unheld),

    Until(S.PAUSING_RECORDING,       when.consult_is_unrecorded,    S.DIALING,                                    do.dial_targets),
    Limit(S.PAUSING_RECORDING,       "hold_timeout_ms",             S.RETURNING_CUSTOMER,                         do.fail_unconfirmed),

    Until(S.MOVING_CUSTOMER,         when.customer_arrived_alone,   STAY,                                         do.move_customer_to_new_conference),
    Until(S.MOVING_CUSTOMER,         when.customer_has_arrived,     (S.HOLDING_CUSTOMER, S.PARKING, S.DIALING),   do.hold_or_dial_after_arrival),
    Limit(S.MOVING_CUSTOMER,         leave_or_arrive_timeout,       STAY,                                         do.read_and_hang_up_lingering_party),

    Until(S.PARKING,                 when.customer_is_parked,       C,                                            do.note_parked),
    Limit(S.PARKING,                 "leave_timeout_ms",            STAY,                                         do.read_and_hang_up_lingering_party),

    Until(S.DIALING,                 when.target_joined,            (S.TALKING, S.UNHOLDING_CUSTOMER),            do.hand_over),
    Until(S.DIALING,                 when.no_target_was_reached,    S.RETURNING_CUSTOMER,                         do.note_no_target_reached),
    Limit(S.DIALING,                 leave_timeout_if_missing,      STAY,                                         do.read_and_hang_up_lingering_party),

    # The agent's leaving counts as `complete`, the target's as `cancel`.
    Until(TOGETHER,                  when.agent_is_gone,            S.COMPLETING,                                 do.complete_after_agent_left),
    Until((*TOGETHER, S.COMPLETING), when.no_target_remains,        S.RETURNING_CUSTOMER,                         do.note_target_left),

    Until(S.SWAPPING,                when.first_is_held,            S.SWAPPED,                                    do.unhold_swapped),
    Limit(S.SWAPPING,                "hold_timeout_ms",             S.SWAPPED,                                    do.undo_swap),
    Until(S.SWAPPED,                 when.second_is_unheld,         S.TALKING,                                    do.finish_swap),
    Limit(S.SWAPPED,                 "hold_timeout_ms",             STAY,                                         do.read_at_stage_timeout),

    Until(S.MERGING,                 when.no_one_is_held,           S.TALKING,                                    do.finish_merge),
    Limit(S.MERGING,                 "hold_timeout_ms",             STAY,                                         do.read_at_stage_timeout),

    Until(S.COMPLETING,              when.no_one_is_held,           S.RELEASING_AGENT,                            do.release_agent),
    Limit(S.COMPLETING,              "hold_timeout_ms",             STAY,                                         do.read_at_stage_timeout),
    # An earlier row has checked the target.
    Until(S.RELEASING_AGENT,         when.agent_is_gone,            C,                                            do.complete_transfer),
    Limit(S.RELEASING_AGENT,         "leave_timeout_ms",            STAY,                                         do.read_and_hang_up_lingering_party),

    Until(S.UNHOLDING_CUSTOMER,      when.is_retrieved,             C,                                            do.complete_retrieve),
    Until(S.UNHOLDING_CUSTOMER,      when.agent_has_returned,       C,                                            do.complete_recall),
    Until(S.UNHOLDING_CUSTOMER,      when.customer_was_taken_over,  C,                                            do.complete_transfer),
    Limit(S.UNHOLDING_CUSTOMER,      "leave_timeout_ms",            STAY,                                         do.read_and_hang_up_lingering_party),

    Until(S.CANCELLING,              when.targets_are_gone,         S.RETURNING_CUSTOMER,                         do.unhold_customer),
    Limit(S.CANCELLING,              "leave_timeout_ms",            STAY,                                         do.read_at_stage_timeout),
    Until(S.RETURNING_CUSTOMER,      when.customer_is_unheld,       C,                                            do.return_to_agent),
    Limit(S.RETURNING_CUSTOMER,      "hold_timeout_ms",             STAY,                                         do.read_at_stage_timeout),

    Limit(S.WAITING_TO_RECALL,       recall_pause,                  S.DIALING,                                    do.ring_agent),
)
# fmt: on
ENDS = tuple(Row(one.stages, Automatic, one.guard, one.target, one.actions) for one in STAGES if isinstance(one, Until))
TIMEOUTS = tuple(Row(one.stage, StageOverdue, None, one.target, one.actions) for one in STAGES
                 if isinstance(one, Limit) and one.actions is not do.read_at_stage_timeout)  # fmt: skip
LIMITS = {one.stage: one.timeout for one in STAGES if isinstance(one, Limit)}


def enter_stage(stages: Stages) -> Action:
    """Return the action that enters a stage and sets its timer."""

    def enter(draft: Draft, _event: Event) -> None:
        if isinstance(stages[0], Opening):
            draft.change(opening=stages[0])
            return
        if len(stages) == 1:  # otherwise, the row's other actions have entered one of them
            draft.change_transfer(stage=stages[0], overdue_reads=0)
        stage = draft.transfer.stage
        assert stage in stages, stage
        timeout = LIMITS.get(stage)
        timeout_ms = getattr(draft.policy, timeout) if isinstance(timeout, str) else timeout and timeout(draft)
        if timeout_ms is None:
            draft.cancel_timers(StageOverdue)
        else:
            draft.set_timer(StageOverdue, timeout_ms)

    return enter
