"""What the action of a `<Dial>` reads from Twilio: the call that it made, and the conference of its session."""

from typing import Any

import pytest
from twilio.rest import Client

from conferral.runtime.clock import RemoteClock, SystemClock
from conferral.runtime.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRefusedError,
    ProviderUnreachableError,
)
from conferral.telephony.twilio_queries import twilio_now_ms
from tests.telephony.scripted_http import ACCOUNT, BASE, ScriptedHttp, call, calls_with, page

EARLY, LATE = "Fri, 20 Nov 2026 08:00:00 +0000", "Fri, 20 Nov 2026 08:00:30 +0000"


@pytest.mark.parametrize(
    "children, expected",
    [
        ([], None),
        ([call("CA2", "in-progress", created=EARLY)], "in-progress"),
        ([call("CA2", "busy", created=EARLY), call("CA3", "in-progress", created=LATE)], "in-progress"),
        ([call("CA3", "ringing", created=LATE), call("CA2", "busy", created=EARLY)], "ringing"),
        ([call("CA3", "ringing", created=LATE), call("CA2", "busy", created=LATE)], "ringing"),
        ([call("CA2", "completed")], "completed"),
    ],
)
async def test_child_status_is_that_of_the_newest_child(children: list[dict[str, Any]], expected: str | None) -> None:
    calls, _ = calls_with({"GET Calls": page("calls", *children)})

    assert await calls.child_status("CA1") == expected


@pytest.mark.parametrize(
    "statuses, expected", [([], False), (["init"], False), (["in-progress"], True), (["init", "completed"], True)]
)
async def test_conference_has_started_if_listed_as_in_progress_or_completed(
    statuses: list[str], expected: bool
) -> None:
    listed = [{"sid": f"CF{number}", "status": status} for number, status in enumerate(statuses)]
    calls, _ = calls_with({"GET Conferences": page("conferences", *listed)})

    assert await calls.has_started("CA1") is expected


@pytest.mark.parametrize("status", ["in-progress", "completed"])
async def test_child_that_a_list_lacks_is_asked_for_by_its_sid(status: str) -> None:
    calls, _ = calls_with({"GET Calls": page("calls"), "GET Calls/CA2": call("CA2", status)})

    assert await calls.child_status("CA1", "CA2") == status


@pytest.mark.parametrize(
    "status, expected",
    [
        (
            "in-progress",
            {"CallSid": "CA1", "From": "+1", "To": "+2", "Direction": "inbound", "AnsweredBy": "machine_start"},
        ),
        ("completed", {}),
    ],
)
async def test_live_call_is_read_as_a_voice_request_shows_it(status: str, expected: dict[str, str]) -> None:
    shown = {"from": "+1", "to": "+2", "direction": "inbound", "answered_by": "machine_start"}
    record = call("CA1", status) | shown
    calls, _ = calls_with({"GET Calls/CA1": record})

    assert await calls.live_call("CA1") == expected


@pytest.mark.parametrize(
    "answer, error",
    [
        ({}, ProviderUnreachableError),  # without a date
        (ProviderRefusedError(http_status=401, code=20003), ProviderRefusedError),
        (OutcomeUnknownError(), ProviderUnreachableError),
    ],
)
async def test_without_any_date_of_twilios_its_time_is_unknown(
    answer: dict[str, Any] | ProviderError, error: type[ProviderError]
) -> None:
    client = Client(ACCOUNT, "token", http_client=ScriptedHttp({f"GET {BASE.rstrip('/')}": answer}))

    with pytest.raises(error):
        await twilio_now_ms(RemoteClock(SystemClock()), client, ACCOUNT)
