"""Calls from SIP carriers, BYOC trunks, PBXs, and SIP phones: which number was called, whom they reach, who shows."""

import pytest

from tests.support.each import each
from tests.webhooks.documents import dial_of, verbs
from tests.webhooks.webhook_helpers import fields, post

OWN_NUMBER, SALES, CUSTOMER, PHONE = "+14155550100", "+14155550101", "+14155550199", "+14155550123"
DIRECTORY = f'[inbound."{SALES}"]\nagents = ["client:sam", "{PHONE}"]\n'
DOMAIN_SID = "SD" + "5" * 32
FROM = f"sip:{CUSTOMER}@pbx.example.com;user=phone"


def arrives(**changes):
    return fields("call_arrives", **({"CallToken": None} | changes))


def rung(document):
    return dial_of(document)[0].text


# ---- the called number -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/fallback"])
@pytest.mark.parametrize("to", [f"sip:{SALES}@pbx.example", f"sips:%2B{SALES[1:]}@192.0.2.7:5080;user=phone"])
async def test_directory_number_in_a_uri_reaches_its_agents(open_client, ingest, write_directory, route, to):
    client = await open_client(**write_directory(DIRECTORY))
    _, document = await post(client, route, arrives(To=to))
    assert rung(document) == "sam"
    assert ingest.events[-1].called_number == SALES


# ---- the caller's number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["client:alice", "sip:alice@phones.example.com"])
@pytest.mark.parametrize(
    "from_", [FROM, f"sips:{CUSTOMER[1:]}@192.0.2.7:5080", f"tel:{CUSTOMER}", f"sip:%2B{CUSTOMER[1:]}@x.example"]
)
async def test_browser_and_sip_phone_see_the_number_of_a_sip_caller(open_client, ingest, child_lookup, agent, from_):
    client = await open_client(
        CONFERRAL_AGENT=agent, CONFERRAL_ALLOWED_DESTINATIONS="US,client:,sip:phones.example.com"
    )
    _, document = await post(client, "/voice/inbound", arrives(From=from_))
    assert dial_of(document).get("callerId") == CUSTOMER
    assert ingest.events[-1].customer_address == CUSTOMER
    assert child_lookup.asked == []


@pytest.mark.parametrize("may_show", [True, False])
async def test_phone_sees_it_only_if_twilio_shows_it(client, child_lookup, may_show):
    child_lookup.shows = may_show
    _, document = await post(client, "/voice/inbound", arrives(From=FROM, SipDomainSid=DOMAIN_SID))
    assert dial_of(document).get("callerId") == (CUSTOMER if may_show else OWN_NUMBER)
    assert child_lookup.asked == [(CUSTOMER, DOMAIN_SID)]


# ---- what SIP phones dial ----------------------------------------------------------------------------------------

HOME = "acme.sip.twilio.com"
ALLOWED = {"CONFERRAL_ALLOWED_DESTINATIONS": f"US,GB,client:,sip:{HOME},+1624"}
PHONES = ["sip:desk@acme.sip.twilio.com", "sip:desk@acme.sip.us1.twilio.com", "sip:desk@192.0.2.7:5060;transport=tcp"]


@pytest.mark.parametrize("phone", PHONES)
@pytest.mark.parametrize("host", [HOME, "acme.sip.us1.twilio.com", "acme.sip.sydney-ix.twilio.com:5061;transport=TLS"])
async def test_phone_reaches_what_its_user_dials(open_client, ingest, write_directory, phone, host):
    client = await open_client(**ALLOWED, **write_directory(f'[destinations]\nbilling = "{SALES}"\n'))
    dialed = {
        "14155550177": "+14155550177", "4155550177": "+14155550177", "+14155550177": "+14155550177",
        "%2B14155550177": "+14155550177", "011442079460123": "+442079460123", "(415)555-0177": "+14155550177",
        "6245550123": "+16245550123", "billing": SALES,
    }  # fmt: skip
    for user, expected in dialed.items():
        form = fields("browser_calls_somebody", From=phone, To=f"sip:{user}@{host}", SessionID=None)
        await post(client, "/voice/client", form)
        assert ingest.events[-1].customer_address == expected, user


async def test_phone_reaches_a_colleague_at_its_own_domain_whom_no_directory_names(open_client, ingest):
    client = await open_client(**ALLOWED)
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:bob@{HOME}", SessionID=None)
    await post(client, "/voice/client", form)
    assert ingest.events[-1].customer_address == f"sip:bob@{HOME}"


@each("user", ["911", "9-1-1", "*67911", "p911", "112", "19005550143", "9005550143", "01119005550143", "1900FLOWERS",
               "0118812345678901"])  # fmt: skip
async def test_phone_reaches_nothing_that_the_list_refuses(open_client, ingest, user):
    client = await open_client(CONFERRAL_ALLOWED_DESTINATIONS=f"US,sip:{HOME}")
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:{user}@{HOME}", SessionID=None)
    _, document = await post(client, "/voice/client", form)
    assert (verbs(document), ingest.events) == (["Say", "Hangup"], [])
