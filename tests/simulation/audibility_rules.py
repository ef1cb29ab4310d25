"""Who must not be heard by whom, as a session's record stands."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Stages of a consult in which customer and target must not hear each other.
APART = frozenset({"talking", "holding-for-swap", "unholding"})

Record = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class AudibilityRules:
    """One who must not be heard."""

    #: SID of the party's call.
    speaker: str
    #: SIDs of those who must not hear the party; None for everyone.
    listeners: frozenset[str] | None
    #: SIDs of those who may all the same.
    but_for: frozenset[str] = frozenset()
    #: The rule holds while all of these calls go on; empty for always.
    while_live: frozenset[str] = frozenset()
    why: str = ""

    def forbids(self, listener: str) -> bool:
        """Whether this one must not hear the party."""
        return (self.listeners is None or listener in self.listeners) and listener not in {self.speaker, *self.but_for}


@dataclass(slots=True)
class Supervision:
    """How someone has supervised so far."""

    call_sid: str
    #: Modes that were ever asked for.
    modes: set[str]
    #: SIDs of the agents whom the supervisor may have coached.
    coached: set[str]


def apart(record: Record) -> list[AudibilityRules]:
    """Customer and target, while the agent consults."""
    if record.get(b"phase") != b"consult" or record.get(b"transfer.status") != b"consulting":
        return []
    if _text(record, b"transfer.stage") not in APART or record[b"state"] == b"ended":
        return []
    if _text(record, b"transfer.step_name") == "merge":
        return []
    customer, target = _text(record, b"party.customer.call_sid"), _text(record, b"party.target.call_sid")
    if not (customer and target):
        return []
    pairs = ((customer, target), (target, customer))
    return [AudibilityRules(speaker, frozenset({listener}), why="in a consult") for speaker, listener in pairs]


def note_supervision(record: Record, before: Supervision | None) -> Supervision | None:
    """What is known of a supervisor by now; None where there is none on the line."""
    call_sid = _text(record, b"party.supervisor.call_sid")
    if not call_sid or record.get(b"party.supervisor.status") == b"left" or record[b"state"] == b"ended":
        return None
    if before is None or before.call_sid != call_sid:
        before = Supervision(call_sid, set(), set())
    before.modes.add(_text(record, b"party.supervisor.supervises"))
    before.coached |= {_text(record, b"party.agent.call_sid"), _text(record, b"party.supervisor.coaches")} - {""}
    return before


def supervised(record: Record, known: Supervision | None) -> list[AudibilityRules]:
    """A supervisor who monitors is heard by no one; one who whispers, by the agent alone.

    Supervisors come in muted. So until another mode is requested they are never heard, whatever is lost or killed. Once
    one was, what Twilio has confirmed counts: until then they may be heard as before.

    When the agent to whom they whisper hangs up, no one can mute them before. What Twilio does then is not documented;
    its model here supposes the worst, that all hear them until they are muted.
    """
    if known is None:
        return []
    if known.modes <= {"monitor"}:
        return [AudibilityRules(known.call_sid, None, why="monitoring")]
    agents = frozenset(known.coached)
    coaches = _text(record, b"party.supervisor.coaches")
    if known.modes <= {"monitor", "whisper"}:
        coached = frozenset({coaches}) if coaches else _agents_who_may_be_coached(record, known)
        return [AudibilityRules(known.call_sid, None, agents, while_live=coached, why="whispering")]
    wanted = _text(record, b"party.supervisor.supervises")
    is_settled = (
        not _text(record, b"party.supervisor.pending_update")
        and record.get(b"party.supervisor.in_conference") == b"true"
    )
    is_muted = record.get(b"party.supervisor.muted") == b"true"
    if is_settled and wanted == "monitor" and is_muted and not coaches:
        return [AudibilityRules(known.call_sid, None, why="monitoring again")]
    if is_settled and wanted == "whisper" and coaches:
        return [AudibilityRules(known.call_sid, None, agents, while_live=frozenset({coaches}), why="whispering now")]
    return []


def _agents_who_may_be_coached(record: Record, known: Supervision) -> frozenset[str]:
    """SIDs of the agent, and of former agents who left by themselves, while the next whisper is being requested."""
    agent = _text(record, b"party.agent.call_sid")
    if not _text(record, b"party.supervisor.pending_update"):
        return frozenset({agent})
    former = {
        _text(record, name): record.get(name.replace(b".call_sid", b".is_leaving"), b"")
        for name in record
        if name.startswith(b"party.agent-") and name.endswith(b".call_sid")
    }
    left = {sid for sid, is_leaving in former.items() if is_leaving != b"true" and sid in known.coached}
    return frozenset({agent, *left})


def _text(record: Record, name: bytes) -> str:
    return record.get(name, b"").decode()
