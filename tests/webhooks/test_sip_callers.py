"""What SIP phones dial at `/voice/client`. `tests/flows/test_sip_domains.py` has carriers and PBXs."""

import pytest

from tests.support.each import each
from tests.support.people import SALES
from tests.webhooks.documents import verbs
from tests.webhooks.webhook_helpers import fields, post

HOME = "acme.sip.twilio.com"
ALLOWED = {"CONFERRAL_ALLOWED_DESTINATIONS": f"US,GB,client:,sip:{HOME},+1624"}
PHONES = ["sip:desk@acme.sip.twilio.com", "sip:desk@acme.sip.us1.twilio.com", "sip:desk@192.0.2.7:5060;transport=tcp"]


@pytest.mark.parametrize("phone", PHONES)
@pytest.mark.parametrize("host", [HOME, "acme.sip.us1.twilio.com", "acme.sip.sydney-ix.twilio.com:5061;transport=TLS"])
async def test_phone_reaches_what_its_user_dials(open_client, webhook_store, write_directory, phone, host):
    client = await open_client(**ALLOWED, **write_directory(f'[destinations]\nbilling = "{SALES}"\n'))
    dialed = {
        "14155550177": "+14155550177", "4155550177": "+14155550177", "+14155550177": "+14155550177",
        "%2B14155550177": "+14155550177", "011442079460123": "+442079460123", "(415)555-0177": "+14155550177",
        "6245550123": "+16245550123", "billing": SALES,
    }  # fmt: skip
    for user, expected in dialed.items():
        form = fields("browser_calls_somebody", From=phone, To=f"sip:{user}@{host}", SessionID=None)
        await post(client, "/voice/client", form)
        assert webhook_store.events[-1].customer_address == expected, user


async def test_phone_reaches_a_colleague_at_its_own_domain_whom_no_directory_names(open_client, webhook_store):
    client = await open_client(**ALLOWED)
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:bob@{HOME}", SessionID=None)
    await post(client, "/voice/client", form)
    assert webhook_store.events[-1].customer_address == f"sip:bob@{HOME}"


@each("setting, over, domain, expected", [
    ("client:", HOME, HOME, "client:bob"),
    ("client:", HOME, "acme.sip.us1.twilio.com", "client:bob"),
    ("client:", None, HOME, "client:bob"),
    ("client:", HOME, "other.sip.twilio.com", None),
    ("client:", HOME, "pbx.example.com", None),
    ("client:", "second.sip.twilio.com", HOME, None),  # a phone may claim any address for itself
    ("client:,sip:other.sip.twilio.com:5080", HOME, "other.sip.twilio.com", "client:bob"),
    ("client:,sip:other.sip.twilio.com", HOME, "other.sip.twilio.com", "sip:bob@other.sip.twilio.com"),
])  # fmt: skip
async def test_only_our_domains_name_colleagues(open_client, webhook_store, setting, over, domain, expected):
    webhook_store.events.clear()
    client = await open_client(CONFERRAL_ALLOWED_DESTINATIONS=f"US,{setting}")
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:bob@{domain}", SessionID=None, SipDomain=over)
    await post(client, "/voice/client", form)
    assert [event.customer_address for event in webhook_store.events] == ([expected] if expected else [])


@each("user", ["911", "*67911", "p911", "9005550143", "1900FLOWERS"])
async def test_phone_reaches_nothing_that_the_list_refuses(open_client, webhook_store, user):
    client = await open_client(CONFERRAL_ALLOWED_DESTINATIONS=f"US,sip:{HOME}")
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:{user}@{HOME}", SessionID=None)
    _, document = await post(client, "/voice/client", form)
    assert (verbs(document), webhook_store.events) == (["Say", "Hangup"], [])
