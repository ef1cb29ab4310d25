"""The account's lists: every page of every status of what is live, at a bounded pace, and nothing of anyone else's."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from structlog.testing import capture_logs
from twilio.http.response import Response
from twilio.rest import Client

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.runtime.metrics import Metrics
from conferral.telephony.account_lists import AccountListReader, ChildCall, OwnCall
from tests.telephony.scripted_http import ACCOUNT, BASE, ScriptedHttp
from tests.telephony.test_number_forms import uris

LISTS = [
    ("Calls", "queued"), ("Calls", "ringing"), ("Calls", "in-progress"), ("Conferences", "init"),
    ("Conferences", "in-progress"),
]  # fmt: skip


class ListingHttp(ScriptedHttp):
    """An account's lists in pages; faults come before the answers."""

    def __init__(self, lists: Mapping[tuple[str, str], list[dict[str, Any]]] | None = None) -> None:
        super().__init__({})
        self.lists = lists or {}
        self.faults: deque[ProviderError] = deque()
        self.asked: list[tuple[str, str, int]] = []
        #: The list that is refused.
        self.refused: tuple[str, str] | None = None

    async def request(
        self, method: str, uri: str, params: Mapping[str, object] | None = None, *_args: Any, **_others: Any
    ) -> Response:
        parts = urlsplit(uri)
        kind = f"{parts.scheme}://{parts.netloc}{parts.path}".removeprefix(BASE).removesuffix(".json")
        query = dict(parse_qsl(parts.query)) | {name: str(value) for name, value in (params or {}).items()}
        number, size = int(query.get("Page", 0)), int(query["PageSize"])
        assert size <= 1_000, "Twilio's longest page"
        self.asked.append((kind, query["Status"], number))
        if (kind, query["Status"]) == self.refused:
            raise ProviderRefusedError(http_status=400, code=20001)
        if self.faults:
            raise self.faults.popleft()
        records = self.lists.get((kind, query["Status"]), [])
        rest = len(records) > (number + 1) * size
        path = f"/2010-04-01/Accounts/{ACCOUNT}/{kind}.json"
        following = f"{path}?Status={query['Status']}&PageSize={size}&Page={number + 1}&PageToken=PA1" if rest else None
        body = {kind.lower(): records[number * size : (number + 1) * size], "next_page_uri": following, "page": number}
        return Response(200, msgspec.json.encode(body).decode())


def reader_of(http: ScriptedHttp, **more: Any) -> AccountListReader:
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    return AccountListReader(client, metrics=Metrics(), **more)


def calls(count: int, letter: str = "0") -> list[dict[str, Any]]:
    return [{"sid": f"CA{letter}{number}"} for number in range(count)]


def conferences(*names: str | None) -> list[dict[str, Any]]:
    return [{"sid": f"CF{number}", "friendly_name": name} for number, name in enumerate(names)]


async def test_lists_of_everything_live_are_read_in_the_order_of_a_calls_life() -> None:
    """A call that begins to ring, or is answered, while the lists are read is in one of them."""
    http = ListingHttp({
        ("Calls", "queued"): calls(1, "q"), ("Calls", "ringing"): calls(1, "r"),
        ("Calls", "in-progress"): calls(1, "p"),
        ("Conferences", "init"): [{"sid": "CFi", "friendly_name": "one"}],
        ("Conferences", "in-progress"): [{"sid": "CFp", "friendly_name": "two"}],
    })  # fmt: skip
    reader = reader_of(http)

    account = await reader.read()

    assert account.calls == {"CAq0", "CAr0", "CAp0"}
    assert account.answered == {"CAp0"}
    assert account.conferences == {"CFi": "one", "CFp": "two"}
    assert http.asked == [(kind, status, 0) for kind, status in LISTS]


async def test_refused_list_of_conferences_that_have_not_started_ends_no_sweep() -> None:
    http = ListingHttp({("Conferences", "in-progress"): [{"sid": "CFp", "friendly_name": "two"}]})
    http.refused = ("Conferences", "init")
    reader = reader_of(http)

    account = await reader.read()

    assert (account.conferences, account.has_all_conferences) == ({"CFp": "two"}, True)
    http.refused = ("Conferences", "in-progress")
    with pytest.raises(ProviderRefusedError):
        await reader.read()


async def test_live_calls_of_own_numbers_are_kept_with_their_other_end() -> None:
    own, other, third = "+14155550100", "+14155550123", "+14155550124"
    ends = {"CAin": (other, own), "CAout": (own, other), "CAelse": (other, third)}
    records = [{"sid": sid, "from": caller, "to": called} for sid, (caller, called) in ends.items()]
    reader = reader_of(ListingHttp({("Calls", "ringing"): records}), own_numbers=lambda: [own])

    account = await reader.read()

    assert account.calls == ends.keys()
    assert account.own_calls == {
        "CAin": OwnCall(other, came_in=True, called=own), "CAout": OwnCall(other, came_in=False)
    }  # fmt: skip
    assert account.children == {}


@given(uris("+14155550101"), uris("+14155550123"))
def test_call_to_a_number_of_ours_in_a_uri_is_ours_and_so_is_its_callers_number(called: str, caller: str) -> None:
    lists = {("Calls", "ringing"): [{"sid": "CAin", "from": caller, "to": called}]}
    reader = reader_of(ListingHttp(lists), own_numbers=lambda: ["+14155550100", "+14155550101"])

    account = asyncio.run(reader.read())

    assert account.own_calls == {"CAin": OwnCall("+14155550123", came_in=True, called="+14155550101")}


async def test_live_calls_that_a_dial_made_are_kept_by_its_call() -> None:
    records = [{"sid": "CAchild", "from": "+14155550123", "to": "client:alice?a=b", "parent_call_sid": "CAin"}]
    lists = {("Calls", "ringing"): records, ("Calls", "in-progress"): records}
    account = await reader_of(ListingHttp(lists)).read()

    assert account.children == {"CAin": (ChildCall("CAchild", "client:alice", "+14155550123"),)}


async def test_ten_thousand_calls_are_ten_pages_and_their_conferences_five() -> None:
    http = ListingHttp({
        ("Calls", "in-progress"): calls(10_000),
        ("Conferences", "in-progress"): conferences(*(f"s{number}" for number in range(5_000))),
    })  # fmt: skip
    reader = reader_of(http)

    account = await reader.read()

    assert (len(account.calls), len(account.conferences)) == (10_000, 5_000)
    asked = [(kind, status) for kind, status, _ in http.asked]
    assert [asked.count(one) for one in LISTS] == [1, 1, 10, 1, 5]
    # An empty list is a page too.
    assert (account.call_pages, account.conference_pages) == (12, 6)


UNAVAILABLE, UNREACHABLE = ResultUnknownError(http_status=503), ProviderUnreachableError()


@pytest.mark.parametrize("fault", [UNAVAILABLE, UNREACHABLE], ids=["unavailable", "unreachable"])
async def test_page_that_failed_to_load_is_requested_once_more(fault: ProviderError) -> None:
    http = ListingHttp({("Calls", "in-progress"): calls(1_500)})
    http.faults.append(fault)

    assert len((await reader_of(http).read()).calls) == 1_500

    assert http.asked[:3] == [("Calls", "queued", 0)] * 2 + [("Calls", "ringing", 0)]


@pytest.mark.parametrize(
    "faults, asked",
    [
        ([RateLimitedError(http_status=429, retry_after_s=60.0)], 1),
        ([ProviderRefusedError(http_status=401, code=20003)], 1),
        ([UNAVAILABLE] * 2, 2),
        ([UNREACHABLE] * 2, 2),
    ],
    ids=["busy", "denied", "unavailable", "unreachable"],
)
async def test_reading_that_fails_again_is_left_to_the_next_sweep(faults: list[ProviderError], asked: int) -> None:
    http = ListingHttp()
    http.faults.extend(faults)

    with pytest.raises(type(faults[0])):
        await reader_of(http).read()

    assert len(http.asked) == asked


async def test_links_that_go_in_circles_end_the_list() -> None:
    class Circle(ListingHttp):
        async def request(self, method: str, uri: str, *more: Any, **others: Any) -> Response:
            answer = await super().request(method, uri, *more, **others)
            body = msgspec.json.decode(answer.text)
            if "calls" in body:
                body["next_page_uri"] = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Status=queued&PageSize=1000&Page=0"
            return Response(200, msgspec.json.encode(body).decode())

    http = Circle({("Calls", "queued"): calls(1)})
    account = await reader_of(http).read()

    assert len(http.asked) < 1_000
    assert (account.has_all_calls, len(account.calls)) == (False, 1)


@pytest.mark.parametrize("caller, called, is_own", [
    ("+14155550123", "+14155550100", True),
    ("+14155550123", "sip:+14155550100@carrier.sip.twilio.com", True),
    ("+14155550100", "client:alice", True),
    ("+14155550123", "+14155550124", False),
    ("client:bob", "", False),
])  # fmt: skip
async def test_call_that_is_over_is_ours_by_one_of_its_ends(caller: str, called: str, is_own: bool) -> None:
    http = ScriptedHttp({"GET Calls/CA1": {"sid": "CA1", "status": "completed", "from": caller, "to": called}})
    reader = reader_of(http, own_numbers=lambda: ["+14155550100"])
    assert await reader.is_own_call("CA1") is is_own


async def test_call_that_twilio_does_not_know_is_not_ours() -> None:
    gone = ProviderGoneError(http_status=404, code=20404)
    reader = reader_of(ScriptedHttp({"GET Calls/CA1": gone}), own_numbers=lambda: ["+14155550100"])
    assert not await reader.is_own_call("CA1")


async def test_reading_waits_for_a_short_pause_that_twilio_asks_for() -> None:
    http = ListingHttp()
    http.faults.append(RateLimitedError(http_status=429, retry_after_s=0.01))

    assert (await reader_of(http).read()).has_all_calls
    assert http.asked[:2] == [("Calls", "queued", 0)] * 2


@pytest.mark.parametrize("calls", ['"?"', "5", "null", "{}", "[5]", '[{"sid": "CA1", "date_created": 5}]'])
async def test_answer_of_another_shape_shows_nothing_and_nothing_counts_as_missing(calls: str) -> None:
    class Odd(ListingHttp):
        async def request(self, method: str, uri: str, *more: Any, **others: Any) -> Response:
            if "Calls" in uri:
                return Response(200, f'{{"calls": {calls}, "next_page_uri": null}}')
            return await super().request(method, uri, *more, **others)

    reader = reader_of(Odd())

    with capture_logs() as lines:
        try:
            account = await reader.read()
        except ResultUnknownError:
            return
    assert "unexpected_error" not in [line["event"] for line in lines], "odd answers are a known fault, no mistake"
    assert account.calls == set()
    assert account.has_all_calls is (calls == "{}")
