"""Records that hold addresses or tokens show none of them: reprs appear in tracebacks."""

import pytest
from pydantic import ValidationError

from conferral.statemachine.parts import DialOptions
from conferral.storage.outcome_queue import QueuedOutcome
from conferral.storage.partition.session_store import SessionChange
from conferral.telephony import account_lists, directory, fallbacks, http_client, parameters
from conferral.telephony.addresses import AllowList
from conferral.webhooks import handoff
from conferral.webhooks.api import models
from tests.support.each import each
from tests.webhooks.webhook_helpers import facts

HIDDEN = "+14155550123"
LISTED = AllowList(prefixes=(HIDDEN,))
ROUTE = directory.InboundRoute(agents=(HIDDEN,), fallback=HIDDEN, called_number=HIDDEN)
CHANGE = SessionChange(facts("bridged"))
CHANGE.fields["party.agent.address"] = HIDDEN


@each("record", [
    account_lists.OwnCall(HIDDEN, came_in=True, called=HIDDEN),
    account_lists.ChildCall("CA1", HIDDEN, HIDDEN),
    ROUTE,
    directory.Directory({"desk": HIDDEN}, {HIDDEN: ROUTE}, ROUTE, HIDDEN),
    directory.DirectoryEntry.model_construct(agents=[HIDDEN], greeting=HIDDEN, fallback=HIDDEN),
    fallbacks.FallbackRules({"desk": HIDDEN}, LISTED),
    http_client.HttpAnswer(200, {"location": HIDDEN}, HIDDEN.encode()),
    parameters.CallSetup(None, None, HIDDEN, LISTED),
    handoff.Handoff(to=HIDDEN, options=DialOptions(brief=HIDDEN, digits=HIDDEN), fallback=HIDDEN),
    models.TokenRequest.model_construct(identity=HIDDEN),
    models.IssuedToken(token=HIDDEN, identity=HIDDEN, expires_at=""),
    QueuedOutcome("CA1", "1-0", 0, {"to": HIDDEN}),
    CHANGE,
])  # fmt: skip
def test_record_shows_no_address_or_token(record):
    assert HIDDEN not in repr(record)


@each("model", [
    models.Party, models.LogEntry, models.Outcome, models.TokenRequest, directory.DirectoryEntry,
])  # fmt: skip
def test_error_about_a_model_does_not_repeat_what_was_given(model):
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: [{HIDDEN: HIDDEN}] for name in model.model_fields})
    assert HIDDEN not in str(caught.value)
