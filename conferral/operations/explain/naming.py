"""Sessions as people read them: agents at desks have their names."""

from collections.abc import Mapping

from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session


def with_names(session: Session, names: Mapping[str, str]) -> Session:
    """Return a session to be shown alone, in which agents have their names.

    `names` are those of the directory, by address.
    """
    if not names:
        return session

    def named(addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(one, one) for one in addresses)

    def tried(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        return tuple(replace(one, to=names.get(one.to, one.to)) for one in attempts)

    def transferred(transfer: TransferState | None) -> TransferState | None:
        return transfer and replace(transfer, to=named(transfer.to), attempts=tried(transfer.attempts))

    parties = session.parties.items()
    return replace(
        session,
        parties={name: replace(one, address=names.get(one.address, one.address)) for name, one in parties},
        transfer=transferred(session.transfer),
        earlier_transfer=transferred(session.earlier_transfer),
        agents=named(session.agents),
    )
