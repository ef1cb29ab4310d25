"""Records that hold addresses or tokens show none of them: reprs appear in tracebacks."""

import pytest
from pydantic import ValidationError

from conferral.statemachine.parts import DialOptions
from conferral.statemachine.record import replace
from conferral.storage.outcome_queue import QueuedOutcome
from conferral.storage.partition.commit_store import SessionChange
from conferral.telephony import account_lists, directory, fallbacks, http_client, parameters
from conferral.telephony.addresses import AllowList
from conferral.webhooks import handoff_options
from conferral.webhooks.api import models
from tests.support.each import each
from tests.support.people import CUSTOMER
from tests.webhooks.webhook_helpers import facts

LISTED = AllowList(prefixes=(CUSTOMER,))
ROUTE = directory.InboundRoute(agents=(CUSTOMER,), fallback=(CUSTOMER,), called_number=CUSTOMER)
CHANGE = SessionChange(facts("bridged"))
CHANGE.after = replace(CHANGE.before, number=CUSTOMER)


@each("record", [
    account_lists.OwnCall(CUSTOMER, came_in=True, called=CUSTOMER),
    account_lists.ChildCall("CA1", CUSTOMER, CUSTOMER),
    ROUTE,
    directory.Directory({"desk": CUSTOMER}, {CUSTOMER: ROUTE}, ROUTE, CUSTOMER),
    directory.DirectoryEntry.model_construct(agents=[CUSTOMER], greeting=CUSTOMER, fallback=(CUSTOMER,)),
    fallbacks.AddressRules({"desk": CUSTOMER}, LISTED),
    http_client.HttpResponse(200, {"location": CUSTOMER}, CUSTOMER.encode()),
    parameters.CallSetup(None, None, CUSTOMER, LISTED),
    handoff_options.Handoff(to=CUSTOMER, options=DialOptions(brief=CUSTOMER, digits=CUSTOMER), fallback=(CUSTOMER,)),
    models.TokenRequest(CUSTOMER),
    models.IssuedToken(token=CUSTOMER, identity=CUSTOMER, expires_at=""),
    QueuedOutcome("CA1", "1-0", 0, {"to": CUSTOMER}),
    CHANGE,
])  # fmt: skip
def test_record_shows_no_address_or_token(record):
    assert CUSTOMER not in repr(record)


FIELDS = directory.DirectoryEntry.model_fields


def test_error_about_the_directory_does_not_repeat_what_was_given():
    with pytest.raises(ValidationError) as caught:
        directory.DirectoryEntry.model_validate({name: [{CUSTOMER: CUSTOMER}] for name in FIELDS})
    assert CUSTOMER not in str(caught.value)
