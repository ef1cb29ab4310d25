"""Facts of a call besides its people: state, transfer, number, notes."""

from collections.abc import Callable

from conferral.operations import catalog
from conferral.runtime.redaction import display_address
from conferral.statemachine.guards import recording_of
from conferral.statemachine.reasons import REASONS
from conferral.statemachine.session import INBOUND, Session
from conferral.statemachine.states import Phase, TransferStatus

#: Parties or pending commands named in a list's column (count).
SHORT_NOTES_MAX = 5
#: Final statuses of a recording: earlier pauses and stops no longer matter.
_RECORDING_OVER = frozenset({"completed", "absent", "failed"})


def state_label(session: Session) -> str:
    """Return state and phase as one label, such as `transferring (consult)`."""
    return f"{session.state or '?'} ({session.phase})" if session.phase else session.state or "?"


def session_notes(session: Session, clock: Callable[[int], str] = catalog.utc_clock) -> list[str]:
    """Return notes on parking, agents, the recording, and pending commands."""
    found = []
    if session.parked_until_ms and not session.is_ended:
        found.append(f"until {clock(session.parked_until_ms)} at the latest")
    if len(session.agents) > 1 and session.phase == Phase.RINGING:
        found.append(f"agent {session.agent_number + 1} of {len(session.agents)}")
    status = recording_of(session).status
    if status and (not session.is_ended or status in _RECORDING_OVER):
        found.append(f"recording {catalog.RECORDING.get(status, status).removeprefix('is ')}")
    pending = [f"{one.name}{f' ({one.party})' if one.party else ''} in progress" for one in session.pending_commands]
    return found + catalog.limit_notes(pending, SHORT_NOTES_MAX)


def agents_tried(session: Session) -> list[tuple[str, str]]:
    """Return position and address of the agents dialed before the current one."""
    tried = session.agents[: session.agent_number]
    return [(f"agent {number} of {len(session.agents)}", one) for number, one in enumerate(tried, start=1)]


def number_line(session: Session, *, full: bool = False) -> str:
    """Say which of our numbers was called, or which one the customer sees."""
    number = display_address(session.number, full=full)
    if not number:
        return ""
    return f"the caller called {number}" if session.direction == INBOUND else f"the customer sees {number}"


def transfer_line(session: Session, *, full: bool = False) -> str:
    """Describe the newest transfer: mode, targets, progress, and failure."""
    transfer = session.public_transfer
    if transfer is None:
        return ""
    to = ", ".join(display_address(one, full=full) for one in transfer.to)
    # A park has no target, and a consult isn't said twice.
    status = "talking" if transfer.status == TransferStatus.CONSULTING else transfer.status
    why = f": {catalog.transfer_failure(transfer.reason, transfer.code)}" if transfer.reason else ""
    return " ".join(filter(None, (transfer.mode, f"to {to}" if to else "", status))) + why


def dial_attempts(session: Session, until_ms: int, *, full: bool = False) -> list[tuple[str, ...]]:
    """Return the dial attempts of the newest transfer or fallback, in order.

    The last two values: until answered, and connected. Open attempts last until the end of the transfer, `until_ms`.
    """
    return [
        (
            one.party,
            display_address(one.to, full=full),
            catalog.left_note(one.result) if one.result in REASONS else one.result or "in progress",
            _format_duration(one.started_at_ms, one.answered_at_ms or one.ended_at_ms or until_ms),
            _format_duration(one.answered_at_ms, one.ended_at_ms or until_ms),
        )
        for one in (session.transfer.attempts if session.transfer is not None else ())
    ]


def _format_duration(from_ms: int, until_ms: int) -> str:
    return f"{max(0, until_ms - from_ms) / 1000:.1f} s" if from_ms and until_ms else ""
