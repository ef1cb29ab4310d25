"""Orphaned conferences: ours, but Redis has lost their sessions. Pure.

Other programs' conferences are never touched. Ours have a name in our form, are older than an interval, and have a
participant with our label and a call of our numbers. Bridges lack such marks, and Twilio lists a call's requests only
15 minutes after it (https://www.twilio.com/docs/voice/api/call-event-resource), so unknown ones stay unknown.
"""

import re
from collections.abc import Mapping, Sequence

from conferral.statemachine.events import ParticipantFound
from conferral.statemachine.session import CUSTOMER
from conferral.telephony.account_lists import OwnCall
from conferral.telephony.parameters import is_label

#: A CallSid (with the visit's number), or `CS` and the hash of a command's id.
_NAME = re.compile(r"CA[0-9a-f]{32}(-[0-9]{1,2})?|CS[0-9a-f]{32}", re.ASCII)


def has_own_name(name: str) -> bool:
    """Whether the name could be the id of a session of ours."""
    return _NAME.fullmatch(name) is not None


def is_ours(participants: Sequence[ParticipantFound], own_calls: Mapping[str, OwnCall]) -> bool:
    """Whether its participants show that a conference is ours."""
    return any(participant.call_sid in own_calls and is_label(participant.label) for participant in participants)


def is_opened_by_wait_request(participants: Sequence[ParticipantFound], *, has_started: bool) -> bool:
    """Whether its caller waits for the first agent: that opens the session."""
    if has_started or len(participants) != 1:
        return False
    (one,) = participants
    return one.came_in and one.label.startswith(f"{CUSTOMER}-")
