"""Checks of what a step notes so that later steps need not ask all parties."""

from conferral.statemachine.session import RESTLESS, Session, changed_parties, restless_parties
from conferral.statemachine.step import Step


def check_notes(step: Step, before: Session) -> None:
    """Check that the notes about parties say what asking all of them says."""
    after = step.session
    if (noted := after.__dict__.get(RESTLESS)) is not None:
        assert set(noted) == {party.name for party in restless_parties(after.parties.values())}
    if step.changed_parties is not None:
        assert step.changed_parties == changed_parties(after.parties, before.parties)
