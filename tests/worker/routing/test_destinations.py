"""Who may not be dialed is turned away by name of the field, never by the address."""

import re

import pytest

from conferral.commands.parser import BadCommandError, parse
from conferral.runtime.errors import SettingsError
from conferral.runtime.setting_errors import valid_values
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import Place
from conferral.telephony.addresses import AllowList
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.fallbacks import NOT_FOR_INBOUND, NOT_FOR_TRANSFERS, AddressRules
from conferral.worker.process import Worker, make_policy
from conferral.worker.routing.addresses import resolve_destinations
from tests.support.each import each
from tests.support.people import CUSTOMER
from tests.support.service_settings import settings_with

ALLOWED = AllowList.from_setting("US,client:,sip:example.com", "+14155550100")


ADDRESSES = "an address is +, country code, and number; client:NAME; or sip:URI"
NAMES = {"billing": "+14155550144", "bob": "client:bob", "jamaica": "+18765550123", "office": CUSTOMER}


def checked(allowed: AllowList = ALLOWED, **fields: str):
    return resolve_destinations(parse(fields), AddressRules(NAMES, allowed, ("https://app.example.com/calls",)))


def transfer(to: str, allowed: AllowList = ALLOWED, **options: str) -> tuple[str, ...]:
    return checked(allowed, type="transfer", session="s", mode="blind", to=to, **options).values["to"]


def test_names_become_addresses_and_everything_else_stays():
    assert transfer(f"billing,client:alice,bob,{CUSTOMER}") == ("+14155550144", "client:alice", "client:bob", CUSTOMER)
    call = checked(type="call", agent="billing", customer="bob", brief="billing", timeout="20")
    assert dict(call.values) == {
        "agent": "+14155550144", "customer": "client:bob", "brief": "billing", "timeout_s": 20,
    }  # fmt: skip


@pytest.mark.parametrize("to", [f"office,{CUSTOMER}", f"{CUSTOMER},office"])
def test_same_destination_under_two_names_is_refused(to):
    with pytest.raises(BadCommandError, match=r"^to, destination 2 of 2: the same as one before$"):
        transfer(to)


@each("to, reason", [
    ("4155550123", "to: must be a number with + and country code (such as +12025550145), client:NAME, or sip:URI"),
    ("sales", f"to: no destination is named sales in the directory; {ADDRESSES}; did you mean client:sales?"),
    ("bob,desk-4155550123", f"to, destination 2 of 2: no destination has that name in the directory; {ADDRESSES}"),
    ("jamaica", "to: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"),
    ("+1415555012", "to: the phone number is incomplete; short and emergency numbers are never dialed"),
    ("911", "to: short and emergency numbers are never dialed"),
    ("+19005550123", "to: premium-rate numbers are never dialed"),
    ("+18765550123", "to: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"),
    ("sip:bob@example.org", "to: CONFERRAL_ALLOWED_DESTINATIONS does not name this SIP domain"),
    (f"client:alice,{CUSTOMER},+18765550123",
     "to, destination 3 of 3: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"),
])  # fmt: skip
def test_reason_names_the_field_and_not_the_address(to, reason):
    with pytest.raises(BadCommandError) as refused:
        transfer(to)
    assert str(refused.value) == reason


def test_empty_allow_list_allows_no_one():
    with pytest.raises(BadCommandError, match=r"^to: CONFERRAL_ALLOWED_DESTINATIONS has no entry client:$"):
        transfer("client:alice", AllowList())
    with pytest.raises(BadCommandError, match=r"; or sip:URI$"):
        transfer("alice", AllowList())


@each("fields, field", [
    ({"type": "transfer", "session": "s", "mode": "warm", "to": "client:alice"}, "to"),
    ({"type": "transfer", "session": "s", "mode": "warm", "to": f"{CUSTOMER},client:alice"}, "to, destination 2 of 2"),
    ({"type": "transfer", "session": "s", "mode": "warm", "to": "billing,bob"}, "to, destination 2 of 2"),
    ({"type": "call", "agent": "client:alice", "customer": CUSTOMER}, "agent"),
    ({"type": "retrieve", "session": "s", "to": "client:alice"}, "to"),
    ({"type": "add", "session": "s", "to": "bob", "party": "expert"}, "to"),
    ({"type": "supervise", "session": "s", "to": "client:alice", "mode": "whisper"}, "to"),
])  # fmt: skip
def test_digits_are_not_for_a_client(fields, field):
    with pytest.raises(BadCommandError, match=f"^{field}: a client has no keypad"):
        checked(digits="12", **fields)


def test_digits_are_for_the_agent_of_a_call_alone():
    checked(type="call", agent=CUSTOMER, customer="client:visitor", digits="12")


@each("fields, field", [
    ({"type": "transfer", "session": "s", "mode": "warm", "to": CUSTOMER}, "to"),
    ({"type": "transfer", "session": "s", "mode": "warm", "to": "client:alice,billing"}, "to, destination 2 of 2"),
    ({"type": "call", "agent": "billing", "customer": CUSTOMER}, "agent"),
])  # fmt: skip
def test_params_are_not_for_a_number(fields, field):
    with pytest.raises(BadCommandError, match=f"^{field}: a phone can't receive params"):
        checked(params="name=Ada", **fields)


def test_params_are_for_clients_and_sip_phones_and_in_a_call_for_the_agent():
    checked(type="call", agent="bob", customer=CUSTOMER, params="name=Ada")
    assert transfer("client:alice,sip:bob@example.com", params="name=Ada") == ("client:alice", "sip:bob@example.com")


@pytest.mark.parametrize("fallback", ["+18765550123", "nobody", "Recall", "911"])
def test_disallowed_fallback_prevents_startup(fallback):
    settings = settings_with(CONFERRAL_TRANSFER_FALLBACK=fallback)
    with pytest.raises(SettingsError) as wrong:
        make_policy(settings)
    (line,) = wrong.value.problems
    assert line.startswith("CONFERRAL_TRANSFER_FALLBACK: ")
    assert "; it must be 1 to 3 of recall," in line
    assert "+18765550123" not in line


@each("setting, excluded", {
    "CONFERRAL_TRANSFER_FALLBACK": NOT_FOR_TRANSFERS,
    "CONFERRAL_INBOUND_FALLBACK": NOT_FOR_INBOUND,
}.items())  # fmt: skip
def test_a_fallback_setting_names_each_place_that_it_takes(setting, excluded):
    words, _ = valid_values(setting, None)
    assert {place for place in Place if re.search(rf"\b{place}\b", words)} == {*Place} - excluded


def test_fallback_may_be_a_name_and_follows_the_directory(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text('[destinations]\ndesk = "client:alice"\n')
    settings = settings_with(CONFERRAL_TRANSFER_FALLBACK="desk", CONFERRAL_DIRECTORY=str(path))
    directory = DirectoryFile(settings)
    worker = Worker(settings, directory=directory)
    assert (
        make_policy(settings)
        == worker.current_policy()
        == Policy(fallback=("client:alice",), own_number=settings.number)
    )
    path.write_text('[destinations]\ndesk = "client:bob"\n')
    directory.reload()
    assert worker.current_policy() == Policy(fallback=("client:bob",), own_number=settings.number)
