"""Conferences that no session knows: ours are recovered, everyone else's are left alone."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.events import ConferenceFound, ParticipantFound
from conferral.storage.call_index import CallIndex
from conferral.storage.webhook_store.store import NEW_CALL_S
from conferral.telephony.account_lists import AccountSnapshot, OwnCall
from conferral.worker.sweep import sweeper
from conferral.worker.sweep.diff import has_own_name
from tests.support.metric_values import value_of
from tests.worker.sweep.sweep_harness import NAMES, NOW_MS, PARTITIONS, SweepHarness

pytestmark = pytest.mark.redis
NAME, OTHER_NAME = "CA" + "1" * 32, "CS" + "2" * 32
OWN = {NAME: OwnCall("+14155550123", came_in=True)}
CUSTOMER = ParticipantFound(NAME, "customer-1", address="+14155550123", came_in=True)
STRANGER = ParticipantFound("CA" + "9" * 32, "customer-1")
ALONE = ParticipantFound("CA" + "8" * 32, "agent-1")


async def recovered(sea: SweepHarness) -> list[ConferenceFound]:
    return [event for event in await sea.events() if isinstance(event, ConferenceFound)]


async def test_conference_of_ours_is_recovered_once_it_is_older_than_an_interval(sea: SweepHarness) -> None:
    young = {"CF1": NOW_MS - 49}
    account = AccountSnapshot({NAME}, conferences={"CF1": NAME}, own_calls=OWN, created_at_ms=young)
    sea.account.account = account
    sea.account.participants = {"CF1": [CUSTOMER]}
    await sea.sweep()
    assert await recovered(sea) == []
    sea.account.account = replace(account, created_at_ms={"CF1": NOW_MS - 50})
    with capture_logs() as lines:
        await sea.sweep(sweeps=2)

    assert "CF1" in {line["conference_sid"] for line in lines if line["event"] == "conference_recovered"}
    assert value_of(sea.metrics.sweep_findings.labels("conference-unknown")) >= 1
    found = (await recovered(sea))[0]
    assert (found.session_id, found.conference_sid, found.participants) == (NAME, "CF1", (CUSTOMER,))
    assert sea.account.labels == {"sweep"}
    assert await sea.client.get(sea.keys.call(NAME)) == NAME.encode()
    left_s = await sea.client.ttl(sea.keys.call(NAME))
    assert left_s > CallIndex(sea.keys).ttl_s - NEW_CALL_S, "until it is decided, webhooks take it for an ended session"


@pytest.mark.parametrize("age_s, is_recovered", [(9, False), (10, True)])
async def test_conference_is_recovered_before_it_is_an_interval_old(
    sea: SweepHarness, age_s: int, is_recovered: bool
) -> None:
    created = {"CF1": NOW_MS - 1000 * age_s}
    sea.account.account = AccountSnapshot({NAME}, conferences={"CF1": NAME}, own_calls=OWN, created_at_ms=created)
    sea.account.participants = {"CF1": [CUSTOMER]}
    await sea.sweep(times=sea.times(interval_s=86_400))
    assert bool(await recovered(sea)) == is_recovered


async def test_caller_who_waits_for_the_first_agent_is_left_to_the_wait_request(sea: SweepHarness) -> None:
    account = AccountSnapshot({NAME}, conferences={"CF1": NAME}, own_calls=OWN)
    sea.account.participants = {"CF1": [CUSTOMER]}
    sea.account.account = replace(account, waiting={"CF1"})
    await sea.sweep()
    assert await recovered(sea) == []


async def test_conference_of_a_chosen_id_is_recovered_by_the_name_that_we_made(sea: SweepHarness) -> None:
    name = NAMES.make("order-7", NAME)
    forged = "order-8-" + name.rpartition("-")[2]
    sea.account.account = AccountSnapshot({NAME}, conferences={"CF1": name, "CF2": forged}, own_calls=OWN)
    sea.account.participants = {"CF1": [CUSTOMER], "CF2": [CUSTOMER]}
    await sea.sweep(sweeps=2)

    assert {(found.session_id, found.conference_name) for found in await recovered(sea)} == {("order-7", name)}
    assert "CF2" not in sea.account.asked


@pytest.mark.parametrize("name", [NAME, NAME + "-2", NAMES.make("order-7", NAME)])
async def test_agent_of_a_caller_who_is_gone_is_ours_by_the_name_of_the_conference(
    sea: SweepHarness, name: str
) -> None:
    """A `<Dial>`'s child shows the caller's number: nothing of the call says whose it is."""
    sea.account.account = AccountSnapshot({ALONE.call_sid}, conferences={"CF1": name})
    sea.account.participants = {"CF1": [ALONE]}
    sea.account.own_calls = {NAME}
    await sea.sweep()
    (found,) = await recovered(sea)
    assert (found.conference_name, found.participants) == (name, (ALONE,))
    assert sea.account.labels == {"sweep"}


@pytest.mark.parametrize("name, participants", [
    (NAME, [ALONE]),  # the call that it is named after isn't ours
    (OTHER_NAME, [ALONE]),
    (NAME, [replace(ALONE, label="")]),
    (NAMES.make("order-7", NAME), [replace(ALONE, label="Boss")]),
])  # fmt: skip
async def test_name_and_label_together_do_not_make_a_conference_ours(
    sea: SweepHarness, name: str, participants: list[ParticipantFound]
) -> None:
    sea.account.account = AccountSnapshot({ALONE.call_sid}, conferences={"CF1": name})
    sea.account.participants = {"CF1": participants}
    sea.account.own_calls = {NAME} if not participants[0].label else set()
    await sea.sweep(sweeps=3)
    assert await sea.events() == []
    assert sea.account.asked.count("CF1") == 1


@pytest.mark.parametrize("inside, is_ended", [([ALONE], True), ([ALONE, CUSTOMER], False), ([STRANGER], False)])
async def test_someone_alone_in_a_conference_that_its_ended_session_never_knew_is_released(
    sea: SweepHarness, inside: list[ParticipantFound], is_ended: bool
) -> None:
    await sea.store(sea.ended(NAME, NAME, conference="CF0"))
    sea.account.account = AccountSnapshot({ALONE.call_sid}, conferences={"CF1": NAME}, own_calls=OWN)
    sea.account.participants = {"CF1": inside}
    sea.account.own_calls = set() if inside == [STRANGER] else {NAME}
    await sea.sweep(sweeps=2)
    expected = {("conference-live", NAME, "", "CF1")} if is_ended else set()
    assert await sea.reported() == expected
    assert await recovered(sea) == []


async def test_conference_of_a_live_session_is_not_queried(sea: SweepHarness) -> None:
    await sea.store(sea.session(NAME, "CA" + "8" * 32))
    sea.account.account = AccountSnapshot({"CA" + "8" * 32}, conferences={"CF1": NAME}, own_calls=OWN)
    await sea.sweep(sweeps=2)
    assert sea.account.asked == []
    assert await recovered(sea) == []


async def test_foreign_conference_is_queried_only_once(sea: SweepHarness) -> None:
    sea.account.account = AccountSnapshot(conferences={"CF1": NAME, "CF2": "standup"}, own_calls=OWN)
    sea.account.participants = {"CF1": [STRANGER]}
    await sea.sweep(sweeps=3)
    assert sea.account.asked == ["CF1", NAME]
    assert await recovered(sea) == []


async def test_orphan_checks_per_sweep_are_limited(sea: SweepHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "ORPHANS_MAX", 3)
    names = {f"CF{number}": f"CS{number:032x}" for number in range(10)}
    sea.account.account = AccountSnapshot(conferences=names, own_calls=OWN)
    sea.account.participants = {sid: [CUSTOMER] for sid in names}
    await sea.sweep(times=sea.times(interval_s=5.0))
    assert len(sea.account.asked) == 3


async def test_partition_that_no_one_serves_is_left_out_of_the_orphan_check(sea: SweepHarness) -> None:
    for number in range(PARTITIONS):
        await sea.client.xadd(sea.keys.events(number), {"type": "end"}, id=f"{sea.store_clock.now_ms() - 600_000}-0")
    sea.account.account = AccountSnapshot({NAME}, conferences={"CF1": NAME}, own_calls=OWN)
    sea.account.participants = {"CF1": [CUSTOMER]}
    await sea.sweep(sweeps=2)
    assert sea.account.asked == []


@pytest.mark.parametrize(
    ("name", "is_made"),
    [(NAME, True), (OTHER_NAME, True), ("order-7", False), ("CF" + "1" * 32, False), (NAME + "\n", False)],
)
def test_name_that_we_make(name: str, is_made: bool) -> None:
    assert has_own_name(name) is is_made


@pytest.mark.parametrize("inside, is_ours", [
    ([CUSTOMER], True),
    ([STRANGER, CUSTOMER], True),
    ([STRANGER], False),
    ([ParticipantFound(NAME, "Boss")], False),
    ([ParticipantFound(NAME)], False),
    ([], False),
])  # fmt: skip
async def test_label_alone_and_number_alone_prove_nothing(
    sea: SweepHarness, inside: list[ParticipantFound], is_ours: bool
) -> None:
    sea.account.account = AccountSnapshot({NAME}, conferences={"CF1": OTHER_NAME}, own_calls=OWN)
    sea.account.participants = {"CF1": inside}
    await sea.sweep()
    assert bool(await recovered(sea)) is is_ours


async def test_conference_is_not_recovered_by_a_process_that_stops_while_it_reads_who_is_inside(
    sea: SweepHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may be sweeping by then."""
    stop = asyncio.Event()

    async def stops(conference_sid: str, _own_calls: object) -> list[ParticipantFound]:
        sea.account.asked.append(conference_sid)
        stop.set()
        await asyncio.Event().wait()  # the stop does not wait for Twilio
        return [CUSTOMER]

    monkeypatch.setattr(sea.account, "participants_of", stops)
    sea.account.account = AccountSnapshot({NAME}, conferences={"CF1": NAME}, own_calls=OWN)
    async with asyncio.timeout(60):
        await sea.sweeper().run(stop)
    assert sea.account.asked == ["CF1"]
    assert await recovered(sea) == []
