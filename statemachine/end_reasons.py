"""Why a session ended, in the closed list of words that `end_reason` and commands' outcomes use."""

from enum import StrEnum


class EndReason(StrEnum):
    """One word for each way a session ends; the words stand in the docs and never change their meaning."""

    #: The agent hung up, or the agent's call ended.
    AGENT_LEFT = "agent-left"
    #: The customer hung up, before or after the agent answered.
    CUSTOMER_LEFT = "customer-left"
    #: The agent's line was busy.
    AGENT_BUSY = "agent-busy"
    #: The agent did not answer in time.
    AGENT_NO_ANSWER = "agent-no-answer"
    #: The agent refused the call.
    AGENT_REJECTED = "agent-rejected"
    #: The agent could not be reached: wrong number, no route, not registered.
    AGENT_FAILED = "agent-failed"
    #: The customer's line was busy; likewise the next three, for sessions in which the agent was called first.
    CUSTOMER_BUSY = "customer-busy"
    CUSTOMER_NO_ANSWER = "customer-no-answer"
    CUSTOMER_REJECTED = "customer-rejected"
    CUSTOMER_FAILED = "customer-failed"
    #: The agent did not press 1 when asked to; likewise the customer.
    AGENT_NO_CONFIRMATION = "agent-no-confirmation"
    CUSTOMER_NO_CONFIRMATION = "customer-no-confirmation"
    #: A transfer failed after the agent had gone, and nobody was to be tried after that.
    TRANSFER_FAILED = "transfer-failed"
    #: A transfer failed after the agent had gone, and the agent, rung again, could not be reached.
    RECALL_FAILED = "recall-failed"
    #: A transfer failed after the agent had gone, and so did the fallback destination.
    FALLBACK_FAILED = "fallback-failed"
    #: A parked call was not taken up in time, and nobody was to be tried after that.
    PARK_TIMEOUT = "park-timeout"
    #: One party was left in the conference and nobody is known to have hung up first.
    ALONE = "alone"
    #: The conversion did not come together and could not be repaired.
    CONVERT_FAILED = "convert-failed"
    #: An operator's `end`.
    COMMAND = "command"
    #: Older than a day.
    TOO_OLD = "too-old"
