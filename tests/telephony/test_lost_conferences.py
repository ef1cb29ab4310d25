"""The conference of one session: who is in it, and whose calls they are."""

from typing import Any

import pytest
from twilio.rest import Client

from conferral.runtime.errors import ProviderGoneError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ParticipantFound
from conferral.telephony.account_lists import AccountListReader
from tests.support.people import NUMBER
from tests.telephony.scripted_http import ACCOUNT, Answer, ScriptedHttp, call, page

CONFERENCE_SID, NAME, AGENT_CALL = "CF" + "3" * 32, "CA" + "1" * 32, "CA" + "2" * 32
CALLER = "sip:4155550123@pbx.example.com"
CONFERENCE = {"sid": CONFERENCE_SID, "friendly_name": NAME, "status": "in-progress"}
INSIDE = page(
    "participants",
    {"call_sid": NAME, "label": "customer-1", "status": "connected", "start_conference_on_enter": False},
    {"call_sid": AGENT_CALL, "label": "agent-1", "status": "ringing"},
)
GONE = ProviderGoneError(http_status=404, code=20404)
ANSWERS: dict[str, Answer] = {
    f"GET Conferences/{CONFERENCE_SID}": CONFERENCE,
    f"GET Conferences/{CONFERENCE_SID}/Participants": INSIDE,
    f"GET Calls/{NAME}": call(NAME, "in-progress", NUMBER) | {"from": CALLER, "direction": "inbound"},
    f"GET Calls/{AGENT_CALL}": call(AGENT_CALL, "ringing", "client:a") | {"from": "client:b", "direction": "inbound"},
}


def finder(**changes: Any) -> tuple[AccountListReader, ScriptedHttp]:
    http = ScriptedHttp(ANSWERS | {f"GET {name}": answer for name, answer in changes.items()})
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    reader = AccountListReader(client, own_numbers=lambda: [NUMBER], metrics=Metrics())
    return reader, http


async def test_conference_is_shown_with_addresses() -> None:
    conferences, http = finder()
    found = await conferences.lost_conference(CONFERENCE_SID)
    assert http.labels == {"lost_session"}
    assert found is not None
    assert (found.conference_sid, found.name, found.has_started) == (CONFERENCE_SID, NAME, True)
    assert found.participants == (
        ParticipantFound(NAME, "customer-1", address="+14155550123", came_in=True, called=NUMBER, start_on_enter=False),
        ParticipantFound(AGENT_CALL, "agent-1", address="client:b", came_in=True, is_ringing=True),
    )


@pytest.mark.parametrize("gone, shown", [
    (AGENT_CALL, [("+14155550123", True), ("", False)]), (NAME, [("", False), ("client:b", True)]),
])  # fmt: skip
async def test_call_that_is_gone_is_shown_without_an_address(gone: str, shown: list[tuple[str, bool]]) -> None:
    found = await finder(**{f"Calls/{gone}": GONE})[0].lost_conference(CONFERENCE_SID)
    assert found is not None
    assert [(one.address, one.came_in) for one in found.participants] == shown


async def test_address_of_a_dialed_call_is_without_its_params() -> None:
    dialed = call(AGENT_CALL, "ringing", "client:a?name=Ada") | {"from": NUMBER, "direction": "outbound-api"}
    found = await finder(**{f"Calls/{AGENT_CALL}": dialed})[0].lost_conference(CONFERENCE_SID)
    assert found is not None
    assert found.participants[1].address == "client:a"


async def test_only_21_of_many_calls_are_read() -> None:
    crowd = page("participants", *({"call_sid": f"CA{number}", "status": "connected"} for number in range(23)))
    calls = {f"Calls/CA{number}": call(f"CA{number}", "in-progress", "client:a") for number in range(23)}
    reader, http = finder(**{f"Conferences/{CONFERENCE_SID}/Participants": crowd}, **calls)
    found = await reader.lost_conference(CONFERENCE_SID)
    assert found is not None
    assert [one.address for one in found.participants] == ["client:a"] * 21 + [""] * 2
    assert http.requests[1] == (f"GET Conferences/{CONFERENCE_SID}/Participants", {"PageSize": 250})


@pytest.mark.parametrize(
    "answer", [CONFERENCE | {"status": "completed"}, ProviderGoneError(http_status=404, code=20404)]
)
async def test_conference_that_is_over_is_none(answer: Answer) -> None:
    reader, http = finder(**{f"Conferences/{CONFERENCE_SID}": answer})
    assert await reader.lost_conference(CONFERENCE_SID) is None
    assert len(http.requests) == 1


async def test_live_conference_is_chosen_among_several_of_one_name() -> None:
    over = CONFERENCE | {"sid": "CF" + "4" * 32, "status": "completed"}
    waiting = CONFERENCE | {"status": "init"}
    reader, http = finder(Conferences=page("conferences", over, waiting, over))
    found = await reader.lost_conference_named(NAME)
    assert found is not None
    assert (found.conference_sid, found.has_started) == (CONFERENCE_SID, False)
    asked = [fields for name, fields in http.requests if name == "GET Conferences"]
    assert asked == [{"FriendlyName": NAME, "Status": status, "PageSize": 20} for status in ("init", "in-progress")]
