"""Reads of crowded conferences: few requests, a bounded number of calls, and a result that fits into an entry."""

from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.errors import ProviderGoneError, ProviderRefusedError, ResultUnknownError
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import CallsRead
from conferral.storage.codecs import event_codec
from conferral.storage.entries import ENTRY_BYTES_MAX
from tests.telephony.scripted_http import Answer, call, calls_with, page, read_with


def _participants(number: int, of: int = 250) -> dict[str, Any]:
    """The first of so many people who talk; labels as long as ours can be."""
    label = "x" * 50
    return page(
        "participants",
        *(
            {"call_sid": _sid(one), "label": f"{label}-{one + 1}", "hold": True, "muted": True, "status": "connected"}
            for one in range(min(number, of))
        ),
    )


def _sid(number: int) -> str:
    return f"CA{number:032x}"


INSIDE = "GET Conferences/CF1/Participants"
CONFERENCE = {"sid": "CF1", "status": "in-progress", "friendly_name": "S1"}
EVERYONE = tuple(_sid(number) for number in range(250))
READ_ALL = ReadCalls(effect_id="e4", session_id="S1", parent_call_sid="", call_sids=EVERYONE, read_version=7)


async def test_full_conference_is_read_in_three_requests_and_fits_into_an_entry() -> None:
    read, http = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE), INSIDE: _participants(250)}, READ_ALL
    )

    assert http.requests == [
        ("GET Conferences", {"FriendlyName": "S1", "Status": "init", "PageSize": 20}),
        ("GET Conferences", {"FriendlyName": "S1", "Status": "in-progress", "PageSize": 20}),
        (INSIDE, {"PageSize": 250}),
    ]  # fmt: skip
    assert {read.status_of(sid) for sid in EVERYONE} == {"in-progress"}
    assert (read.calls, read.unread) == ((), ())
    entry = event_codec.encode(read)
    assert sum(len(name) + len(value.encode()) for name, value in entry.items()) < ENTRY_BYTES_MAX
    assert event_codec.decode(entry, "1-0") == replace(read, entry_id="1-0")


async def test_bounded_number_of_absent_parties_is_read_and_the_rest_are_listed() -> None:
    read, http = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE), INSIDE: _participants(1)}
        | {f"GET Calls/{sid}": call(sid, "completed") for sid in EVERYONE},
        READ_ALL,
    )

    assert [seen.call_sid for seen in read.calls] == list(EVERYONE[1:22])
    assert read.unread == EVERYONE[22:]
    assert len(http.requests) == 24
    assert {read.status_of(sid) for sid in read.unread} == {""}


async def test_call_whose_presence_does_not_prove_its_answer_is_read_by_itself() -> None:
    read, _ = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE), INSIDE: _participants(2)}
        | {f"GET Calls/{_sid(1)}": call(_sid(1), "ringing")},
        replace(READ_ALL, call_sids=EVERYONE[:2], unproven_sids=EVERYONE[1:2]),
    )

    assert [read.status_of(sid) for sid in EVERYONE[:2]] == ["in-progress", "ringing"]


@pytest.mark.parametrize("conference_sid", ["", "CF1"])
async def test_call_of_a_participant_whom_the_session_does_not_know_is_read_for_its_address(conference_sid) -> None:
    """Redis lost the dial, and a participant has no address."""
    guest = {"call_sid": _sid(7), "label": "of another program", "status": "connected"}
    ours = ({"call_sid": _sid(one), "label": f"agent-{one + 1}", "status": "connected"} for one in range(2))
    read, _ = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE), INSIDE: page("participants", *ours, guest)}
        | {f"GET Calls/{_sid(1)}": call(_sid(1), "in-progress", to="client:alice")},
        replace(READ_ALL, call_sids=EVERYONE[:1], conference_sid=conference_sid),
    )

    assert [(seen.call_sid, seen.to) for seen in read.calls] == [(_sid(1), "client:alice")]


async def test_known_conference_that_holds_every_call_is_read_in_one_request() -> None:
    read, http = await read_with(
        {INSIDE: _participants(2)}, replace(READ_ALL, call_sids=EVERYONE[:2], conference_sid="CF1")
    )

    assert [name for name, _ in http.requests] == [INSIDE]
    assert (read.conference_sid, len(read.participants), read.calls) == ("CF1", 2, ())


async def test_live_call_outside_the_known_conference_causes_a_search_for_another_one() -> None:
    other = page(
        "participants", *({"call_sid": _sid(one), "label": f"p-{one}", "status": "connected"} for one in (1, 2))
    )
    read, http = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE, CONFERENCE | {"sid": "CF2"})}
        | {INSIDE: _participants(1), "GET Conferences/CF2/Participants": other}
        | {f"GET Calls/{_sid(one)}": call(_sid(one), "in-progress") for one in range(3)},
        replace(READ_ALL, call_sids=EVERYONE[:3], conference_sid="CF1"),
    )

    assert read.conference_sid == "CF2"
    assert [name for name, _ in http.requests].count(INSIDE) == 1
    assert {read.status_of(sid) for sid in EVERYONE[:3]} == {"in-progress"}


UNLISTED = {"GET Conferences": page("conferences"), f"GET Calls/{_sid(1)}": call(_sid(1), "in-progress")}


async def test_known_conference_that_no_list_shows_is_still_the_sessions() -> None:
    """It has not started: one waits in it, while the other is in the gate."""
    read, _ = await read_with(
        UNLISTED | {INSIDE: _participants(1)}, replace(READ_ALL, call_sids=EVERYONE[:2], conference_sid="CF1")
    )

    assert (read.conference_sid, [seen.call_sid for seen in read.participants]) == ("CF1", [_sid(0)])


@pytest.mark.parametrize("status, expected", [("init", "CF1"), ("in-progress", "CF1"), ("completed", ""), (None, "")])
async def test_known_conference_without_participants_is_over_only_if_it_says_so(
    status: str | None, expected: str
) -> None:
    shown: Answer = CONFERENCE | {"status": status} if status else ProviderGoneError(http_status=404, code=20404)
    read, _ = await read_with(
        UNLISTED | {INSIDE: page("participants"), "GET Conferences/CF1": shown},
        replace(READ_ALL, call_sids=EVERYONE[1:2], conference_sid="CF1"),
    )

    assert (read.conference_sid, read.participants) == (expected, ())


async def test_refused_list_of_conferences_that_have_not_started_shows_none() -> None:
    answers = {INSIDE: _participants(1), "GET Conferences": page("conferences", CONFERENCE)}
    calls, http = calls_with(answers)
    http.first_answers["GET Conferences"] = ProviderRefusedError(http_status=400, code=20001)

    read = await calls.execute(replace(READ_ALL, call_sids=EVERYONE[:1]))

    assert isinstance(read, CallsRead)
    assert read.conference_sid == "CF1"


async def test_known_conference_that_is_over_is_not_the_last_word() -> None:
    read, _ = await read_with(
        {"GET Conferences": page("conferences", CONFERENCE | {"sid": "CF2"}), INSIDE: page("participants")}
        | {f"GET Calls/{_sid(0)}": call(_sid(0), "completed"), f"GET Calls/{_sid(1)}": call(_sid(1), "in-progress")}
        | {"GET Conferences/CF2/Participants": _participants(2)}
        | {"GET Conferences/CF1": CONFERENCE | {"status": "completed"}},
        replace(READ_ALL, call_sids=EVERYONE[:2], conference_sid="CF1"),
    )

    assert read.conference_sid == "CF2"


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        *((f"GET Calls/{_sid(0)}", name) for name in ("status", "parent_call_sid", "to")),
        *(("GET Calls", name) for name in ("sid", "status", "to")),
        ("GET Conferences", "sid"),
        *((INSIDE, name) for name in ("call_sid", "label", "call_sid_to_coach")),
    ],
)
@pytest.mark.parametrize("value", [404, ["text"], {"a": 1}, True])
async def test_field_of_another_type_makes_the_outcome_unknown(resource: str, field: str, value: object) -> None:
    """An error's body has a number as `status`, for instance; stored, it could not be read again."""
    records: dict[str, dict[str, Any]] = {
        f"GET Calls/{_sid(0)}": call(_sid(0), "in-progress"),
        "GET Calls": call(_sid(1), "in-progress"),
        "GET Conferences": CONFERENCE,
        INSIDE: {"call_sid": _sid(1), "label": "agent-1", "status": "connected", "coaching": True},
    }
    records[resource] = records[resource] | {field: value}
    lists = {"GET Calls": "calls", "GET Conferences": "conferences", INSIDE: "participants"}
    calls, _ = calls_with({name: page(lists[name], it) if name in lists else it for name, it in records.items()})

    with pytest.raises(ResultUnknownError):
        await calls.execute(replace(READ_ALL, parent_call_sid=_sid(0), call_sids=()))
