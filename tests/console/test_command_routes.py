"""Commands and dead letters from the page: what is published, what is refused, and outcomes as Redis has them."""

import time

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage import command_stream
from conferral.storage.codecs.text_codec import to_iso
from tests.conferral.cli_helpers import CALL, KEYS, published
from tests.console.console_helpers import Page

pytestmark = pytest.mark.redis


async def refusal(answer):
    return answer.status, (await answer.json())["error"]


async def test_a_command_is_published_as_every_other_way_would(console, redis, lines, bridged):
    answer = await console.post(
        "/commands", json={"type": "transfer", "session": CALL, "to": "client:bob", "mode": "consult", "confirm": True}
    )

    command_id = (await answer.json())["command"]
    assert answer.status == 202
    assert published(redis) == [
        {"type": "transfer", "session": CALL, "to": "client:bob", "mode": "consult", "confirm": "true",
         "id": command_id, "by": "api/console"}
    ]  # fmt: skip
    assert [line for line in lines if line["event"] == "command_published"] == [
        {"event": "command_published", "log_level": "info", "command": "transfer", "command_id": command_id,
         "session_id": CALL, "token_name": "api"}
    ]  # fmt: skip


@pytest.mark.parametrize("given, shown", [("", "api/console"), ("wallboard", "api/wallboard")])
async def test_command_is_by_the_console_unless_the_page_says_who(console, redis, bridged, given, shown):
    await console.post("/commands", json={"type": "end", "session": CALL, "by": given})
    assert [one["by"] for one in published(redis)] == [shown]


async def test_invalid_command_is_refused_with_the_shared_messages(console, redis, bridged):
    status, error = await refusal(await console.post("/commands", json={"type": "hold", "session": CALL}))

    assert (status, error["type"]) == (422, "invalid")
    assert 'hold: missing field "party"' in error["reason"]
    assert published(redis) == []


async def test_command_outcome_is_sent_only_as_redis_reports_it(console, redis, quick_ticks, bridged):
    page = await Page.open(console)
    answer = await console.post("/commands", json={"type": "end", "session": CALL})
    command_id = (await answer.json())["command"]
    await page.say(follow=command_id, type="end")
    await page.next("tick")
    assert not [message for message in page.heard if message["about"] == "command"]

    key = KEYS.command(command_id)
    redis.hset(key, mapping={"status": "accepted", "session": CALL})
    accepted = await page.next("command")
    redis.hset(key, mapping={"status": "failed", "reason": "nobody answered"})
    failed = await page.next("command")

    assert accepted == {"about": "command", "command": command_id, "status": "accepted", "reason": "", "session": CALL,
                        "type": "end"}  # fmt: skip
    assert (failed["status"], failed["reason"]) == ("failed", "nobody answered")


async def test_command_that_no_worker_decided_by_its_deadline_has_failed_two_seconds_later(console, redis, bridged):
    page, now_s = await Page.open(console), time.time()
    for name, ago_s in (("late", 2.5), ("maybe", -60.0), ("done", 2.5)):
        if name == "done":
            redis.hset(KEYS.command(name), mapping={"status": "done", "session": CALL})
        await page.say(follow=name, type="end", deadline=to_iso(round((now_s - ago_s) * 1000)))
    shown = {one["command"]: (one["status"], one["reason"]) for one in [await page.next("command") for _ in range(2)]}
    assert shown == {"late": ("rejected", "its deadline passed (expired)"), "done": ("done", "")}


async def test_outcome_is_sent_although_redis_fails_before_the_next_read(console, redis, monkeypatch):
    outcome, read = command_stream.read_result, []

    async def read_first_only(client, keys, command_id):
        read.append(command_id)
        if len(read) == 2:
            raise StoreUnreachableError("Redis can't be reached")
        return await outcome(client, keys, command_id)

    for name in ("c1", "c2"):
        redis.hset(KEYS.command(name), mapping={"status": "done", "session": CALL})
    monkeypatch.setattr(command_stream, "read_result", read_first_only)
    page = await Page.open(console)
    await page.socket.send_str('{"follow":"c1"}')
    await page.socket.send_str('{"follow":"c2"}')

    shown = {(await page.next("command"))["command"] for _ in range(2)}
    assert shown == {"c1", "c2"}


# ---- dead letters ------------------------------------------------------------------------------------------------


def dead_letter(redis, reason, **entry):
    letter = {"dead_reason": reason, "dead_stream": KEYS.commands, "dead_entry": "1-1", **entry}
    return redis.xadd(KEYS.dead, letter)


async def test_dead_letters_are_sent_with_reasons_and_on_every_change(console, redis):
    dead_letter(redis, "missing field type", session=CALL, to="+14155550123")
    page = await Page.open(console, {"view": "dead"})
    first = await page.next("dead")
    assert (first["count"], first["groups"]) == (1, [{"reason": "missing field type", "count": 1, "retryable": 0}])
    assert first["letters"][0]["fields"]["to"] == "+…23"
    assert first["letters"][0]["at"].endswith("Z")

    dead_letter(redis, "not UTF-8", type="end")
    second = await page.next("dead")
    await page.say(view="dead", reason="missing field type", full=True)
    third = await page.next("dead")

    assert second["count"] == 2
    assert (len(third["letters"]), third["reason"], third["count"]) == (1, "missing field type", 2)
    assert third["letters"][0]["fields"]["to"] == "+14155550123"


async def test_letters_of_a_reason_are_put_back_if_there_are_as_many_as_was_said(console, redis):
    dead_letter(redis, "kept failing", type="end", session=CALL, id="c0")
    asked = {"act": "retry", "reason": "kept failing"}

    status, error = await refusal(await console.post("/dead", json={**asked, "count": 2}))
    assert (status, error["type"], error["count"]) == (409, "changed", 1)

    answer = await console.post("/dead", json={**asked, "count": 1})
    assert (await answer.json()) == {"done": 1, "left": 0, "refused": {}}
    assert [entry["id"] for entry in published(redis)] == ["c0"]


@pytest.mark.parametrize(
    "body",
    [{}, {"act": "burn", "ids": []}, {"act": "drop"}, {"act": "drop", "ids": "1-1"}, {"act": "drop", "ids": [1]},
     {"act": "drop", "reason": 1, "count": 1}, {"act": "drop", "reason": "", "count": True},
     {"act": "drop", "reason": ""}],
)  # fmt: skip
async def test_an_act_that_makes_no_sense_does_nothing(console, redis, body):
    dead_letter(redis, "missing field type")

    status, error = await refusal(await console.post("/dead", json=body))

    assert (status, error["type"]) == (422, "invalid")
    assert redis.xlen(KEYS.dead) == 1


async def test_undelivered_outcomes_are_sent_again(console, redis):
    ids = [redis.xadd(KEYS.outcomes, {"id": f"o{number}", "session": CALL}) for number in range(2)]
    redis.zadd(KEYS.undelivered, dict.fromkeys(ids, 1))
    for body, done, left in (({"ids": ids[:1]}, 1, 1), ({}, 1, 0)):
        answer = await console.post("/dead", json={"act": "resend", **body})
        assert (await answer.json(), redis.zcard(KEYS.undelivered)) == ({"done": done}, left)
    assert (await refusal(await console.post("/dead", json={"act": "resend", "ids": [1]})))[0] == 422
