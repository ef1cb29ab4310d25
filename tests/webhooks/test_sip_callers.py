"""Calls from SIP carriers, BYOC trunks, PBXs, and SIP phones: which number was called, whom they reach, who shows."""

import pytest
from hypothesis import HealthCheck, given, settings

from conferral.runtime.errors import ProviderUnreachableError
from tests.support.each import each
from tests.telephony.test_number_forms import uris
from tests.webhooks.documents import dial_of, verbs
from tests.webhooks.webhook_helpers import CALLER, DIAL_ACTION, facts, fields, post

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
async def test_every_form_of_a_directory_number_reaches_its_agents(open_client, ingest, write_directory, route):
    client = await open_client(**write_directory(DIRECTORY))
    forms: list[str] = []

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(uris(SALES))
    def collect(uri):
        forms.append(uri)

    collect()
    for number, to in enumerate(sorted(set(forms))):
        ingest.facts = facts("bridged")
        _, document = await post(client, route, arrives(To=to, CallSid=f"CA{number:032x}"))
        assert rung(document) == "sam", to
        assert ingest.events[-1].called_number == SALES


@pytest.mark.parametrize(
    "to", ["sip:sales@acme.sip.twilio.com", "sip:1001@acme.sip.twilio.com", "sip:911@acme.sip.twilio.com"]
)
async def test_other_users_of_the_domain_reach_the_default_agent(open_client, ingest, write_directory, to):
    client = await open_client(**write_directory(DIRECTORY))
    _, document = await post(client, "/voice/inbound", arrives(To=to))
    assert (rung(document), ingest.events[-1].called_number) == (PHONE, "")


async def test_number_in_a_uri_that_the_directory_lacks_is_no_number_of_ours(client, ingest):
    """Callers write any number into it, so it must not become a caller ID."""
    _, document = await post(
        client, "/voice/inbound", arrives(To="sip:+14155550177@acme.sip.twilio.com", From="anonymous")
    )
    assert (dial_of(document).get("callerId"), ingest.events[-1].called_number) == (OWN_NUMBER, "")


async def test_browser_still_selects_no_other_number(open_client, write_directory):
    client = await open_client(**write_directory(DIRECTORY))
    _, document = await post(
        client, "/voice/inbound", arrives(To=f"sip:{SALES}@acme.sip.twilio.com", From="client:mallory")
    )
    assert rung(document) == PHONE


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


@pytest.mark.parametrize("error", [ProviderUnreachableError(), TimeoutError()])
async def test_phone_sees_the_business_number_if_twilio_does_not_answer(client, child_lookup, lines, error):
    child_lookup.error = error
    _, document = await post(client, "/voice/inbound", arrives(From=FROM, SipDomainSid="SD1"))
    assert dial_of(document).get("callerId") == OWN_NUMBER
    assert child_lookup.asked == [(CUSTOMER, "")]
    assert CUSTOMER not in str(lines)


async def test_number_from_the_telephone_network_is_shown_without_asking(client, child_lookup):
    _, document = await post(client, "/voice/inbound", arrives(From=CUSTOMER, SipDomainSid=DOMAIN_SID))
    assert (dial_of(document).get("callerId"), child_lookup.asked) == (CUSTOMER, [])


@each("from_", ["client:alice", "anonymous", "", "+266696687", "sip:bob@example.com", "sip:1001@example.com"])
async def test_caller_without_a_number_is_shown_as_the_business(client, from_):
    _, document = await post(client, "/voice/inbound", arrives(From=from_))
    assert dial_of(document).get("callerId") == OWN_NUMBER


@pytest.mark.parametrize("may_show", [True, False])
async def test_dial_that_failed_with_the_shown_number_is_repeated_with_ours(client, ingest, child_lookup, may_show):
    """Of 13214, Twilio says only that the `<Dial>` has failed; the business's number can't have caused it."""
    ingest.facts = facts("bridged", agents=(PHONE,))
    child_lookup.shows = may_show
    failed = fields("dial_ends_busy", DialCallStatus="failed", From=FROM, To=OWN_NUMBER)
    _, document = await post(client, DIAL_ACTION, failed)
    assert ingest.events[-1].failed_with_callers_number is may_show
    assert verbs(document) == (["Dial"] if may_show else ["Say", "Hangup"])
    if may_show:
        assert (rung(document), dial_of(document).get("callerId")) == (PHONE, OWN_NUMBER)


# ---- the caller's number is the agent's own ----------------------------------------------------------------------


@pytest.mark.parametrize("from_", [PHONE, f"sip:{PHONE}@pbx.example.com", f"sip:{PHONE[1:]}@pbx.example.com"])
@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/fallback"])
async def test_agents_phone_that_calls_in_is_rung_with_the_business_number(client, ingest, child_lookup, from_, route):
    child_lookup.shows = True
    _, document = await post(client, route, arrives(From=from_))
    assert (rung(document), dial_of(document).get("callerId")) == (PHONE, OWN_NUMBER)


async def test_sip_agent_with_the_callers_number_is_rung_with_the_business_number(open_client):
    agent = f"sip:{PHONE}@phones.example.com"
    client = await open_client(CONFERRAL_AGENT=agent, CONFERRAL_ALLOWED_DESTINATIONS="US,sip:phones.example.com")
    _, document = await post(client, "/voice/inbound", arrives(From=PHONE))
    assert dial_of(document).get("callerId") == OWN_NUMBER


async def test_next_agent_who_is_the_caller_is_rung_with_the_business_number(client, ingest):
    ingest.facts = facts("bridged", agents=("client:alice", PHONE))
    _, document = await post(client, DIAL_ACTION, fields("dial_ends_busy", From=PHONE, To=OWN_NUMBER))
    assert (rung(document), dial_of(document).get("callerId")) == (PHONE, OWN_NUMBER)


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


@pytest.mark.parametrize("user", ["carol", "1001", "carol.smith"])
@pytest.mark.parametrize("host", [HOME, "acme.sip.us1.twilio.com", "acme.sip.ashburn.twilio.com;user=phone"])
async def test_phone_reaches_a_colleague_under_the_global_name_of_the_domain(open_client, ingest, user, host):
    client = await open_client(**ALLOWED)
    form = fields("browser_calls_somebody", From=PHONES[1], To=f"sip:{user}@{host}", SessionID=None)
    await post(client, "/voice/client", form)
    assert [event.customer_address for event in ingest.events] == [f"sip:{user}@{HOME}"]


async def test_colleague_at_a_domain_that_is_not_allowed_is_called_in_the_browser(client, ingest):
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:carol@{HOME}", SessionID=None)
    await post(client, "/voice/client", form)
    assert [event.customer_address for event in ingest.events] == ["client:carol"]


@each("user", ["911", "9-1-1", "*67911", "p911", "112", "19005550143", "9005550143", "01119005550143", "1900FLOWERS",
               "0118812345678901"])  # fmt: skip
async def test_phone_reaches_nothing_that_the_list_refuses(open_client, ingest, user):
    client = await open_client(CONFERRAL_ALLOWED_DESTINATIONS=f"US,sip:{HOME}")
    form = fields("browser_calls_somebody", From=PHONES[0], To=f"sip:{user}@{HOME}", SessionID=None)
    _, document = await post(client, "/voice/client", form)
    assert (verbs(document), ingest.events) == (["Say", "Hangup"], [])


async def test_repeated_request_of_a_sip_caller_gets_the_same_answer(client, child_lookup):
    child_lookup.shows = True
    first = await post(client, "/voice/inbound", arrives(From=FROM, SipDomainSid=DOMAIN_SID))
    assert await post(client, "/voice/inbound", arrives(From=FROM, SipDomainSid=DOMAIN_SID)) == first
    assert CALLER in first[1]
