"""What a command is known by: its digest, and the session that it opens."""

import re

import pytest

from conferral.commands import identity
from conferral.commands.parser import parse
from conferral.statemachine.events import Convert
from conferral.statemachine.ids import ID_PATTERN
from tests.support.people import CUSTOMER

TRANSFER = {"type": "transfer", "session": "s", "to": CUSTOMER, "mode": "warm"}


def test_command_without_an_id_of_its_session_opens_one_of_its_own():
    assert identity.session_id_of("1-0") == identity.session_id_of("1-0") != identity.session_id_of("1-1")
    assert re.fullmatch(r"CS[0-9a-f]{32}", identity.session_id_of("1-0"))
    assert ID_PATTERN.fullmatch(identity.session_id_of("1-0"))
    assert parse({"type": "convert", "session": identity.session_id_of("1-0")}).event_type is Convert


@pytest.mark.parametrize("changes", [{"to": "client:bob"}, {"mode": "blind"}, {"confirm": "true"}, {"session": "t"}])
def test_digest_distinguishes_commands(changes):
    assert identity.digest_of(TRANSFER | changes) != identity.digest_of(TRANSFER)


def test_digest_covers_only_the_requested_fields():
    same = {"id": "c1", "brief": "", "deadline": "2026-11-30T10:00:08Z", **dict(reversed(TRANSFER.items()))}
    assert identity.digest_of(same) == identity.digest_of(TRANSFER)
    assert re.fullmatch("[0-9a-f]{16}", identity.digest_of(TRANSFER))
