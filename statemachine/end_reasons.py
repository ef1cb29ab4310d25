"""End reasons: the closed list of words in `end_reason` and in command outcomes."""

from enum import StrEnum


class EndReason(StrEnum):
    """Why a session ended. These words are documented and never change their meaning."""

    #: The agent hung up, or the agent's call ended.
    AGENT_LEFT = "agent-left"
    #: The customer hung up, before or after the agent answered.
    CUSTOMER_LEFT = "customer-left"
    #: The agent's line was busy.
    AGENT_BUSY = "agent-busy"
    #: The agent did not answer in time.
    AGENT_NO_ANSWER = "agent-no-answer"
    #: The agent rejected the call.
    AGENT_REJECTED = "agent-rejected"
    #: The agent could not be reached: wrong number, no route, or not registered.
    AGENT_FAILED = "agent-failed"
    #: The customer's line was busy. This and the next three occur when the agent is called first.
    CUSTOMER_BUSY = "customer-busy"
    CUSTOMER_NO_ANSWER = "customer-no-answer"
    CUSTOMER_REJECTED = "customer-rejected"
    CUSTOMER_FAILED = "customer-failed"
    #: The agent, or the customer, did not press 1 when prompted.
    AGENT_NO_CONFIRMATION = "agent-no-confirmation"
    CUSTOMER_NO_CONFIRMATION = "customer-no-confirmation"
    #: A transfer failed after the agent had left, and there was no recall or fallback.
    TRANSFER_FAILED = "transfer-failed"
    #: A transfer failed after the agent had left, and the recall did not reach the agent.
    RECALL_FAILED = "recall-failed"
    #: A transfer failed after the agent had left, and so did the fallback destination.
    FALLBACK_FAILED = "fallback-failed"
    #: No one retrieved a parked call in time, and there was no one else to call.
    PARK_TIMEOUT = "park-timeout"
    #: One party was left in the conference and Conferral does not know who hung up first.
    ALONE = "alone"
    #: The conversion failed and could not be repaired.
    CONVERT_FAILED = "convert-failed"
    #: An operator's `end` command.
    COMMAND = "command"
    #: The session was older than a day.
    TOO_OLD = "too-old"
