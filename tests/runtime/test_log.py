"""Logs: static names, a closed list of keys, and no one's number."""

import errno
import io
import json
import logging
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from conferral.runtime import log, redaction
from tests.support import plain_log
from tests.support.each import each
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem

#: A number that the allow-list does not name.
ELSEWHERE = "+18765550199"


@pytest.fixture
def lines():
    stream = io.StringIO()
    log.configure("json", stream, level="debug", process="test", cache_loggers=False)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    plain_log.configure()


@each("address, shown", [
    ("+14155550123", "+…23"), ("client:alice", "client:…"), ("sip:bob@example.com", "sip:…"), ("anonymous", "…"),
    ("", "…"), ("+1", "+…"), ("4155550123", "…23"),
])  # fmt: skip
def test_address_is_shown_as_its_last_two_digits_or_its_kind(address, shown):
    assert redaction.redact(address) == shown


def test_address_under_a_known_key_is_redacted(lines):
    structlog.get_logger().info("call_came_in", address="+14155550123", session_id="CA1")
    (line,) = lines()
    assert line["address"] == "+…23"
    assert line["session_id"] == "CA1"
    assert line["event"] == "call_came_in"
    assert line["level"] == "info"


def test_line_in_json_names_service_and_process_and_has_a_message_for_log_viewers(lines):
    structlog.get_logger().info("call_came_in", session_id="CA1")
    found = {name: lines()[0].get(name) for name in ("service", "process", "message", "trace_id")}
    assert found == {"service": "conferral", "process": "test", "message": "call came in", "trace_id": None}


@pytest.mark.parametrize("value", ["/etc/\udcff", 2**64, "é", "Ω"])
def test_any_value_is_written_as_json(lines, value):
    structlog.get_logger().info("setting_read", setting=value)
    assert lines()[0]["setting"] == value


@pytest.mark.parametrize("key", ["call_token", "to", "agent", "customer", "brief", "caller_id", "fields", "phone"])
def test_key_that_is_not_on_the_allow_list_such_as_one_of_a_dial_is_omitted(lines, key):
    structlog.get_logger().info("dial_ordered", **{key: "+14155550123"}, session_id="CA1")
    (line,) = lines()
    assert key not in line
    assert "5550123" not in json.dumps(line)


@pytest.mark.parametrize("written", [
    "+14155550123", "14155550123", "4155550123", "001 415 555 0123", "+1 (415) 555-0123", "(415) 555-0123",
    "+1-415-555-0123", "415.555.0123", "1.415.555.0123", "415 - 555 - 0123", "415   555   0123", "415/555/0123",
    "0511/5550123", "030 / 555 01 23", "+49 (0)30 5550123", "+1\u00a0415\u00a0555\u00a00123",
    "+1 415\u2011555\u20110123", "+1 415 \u2013 555 \u2013 0123", "415\u2212555\u22120123", "415·555·0123",
    "%2B14155550123", "%2B1%20415%20555%200123", "+1+415+555+0123", "1%28415%29555%2D0123", "415%C2%A0555%C2%A00123",
    "tel:+1-415-555-0123;ext=7", "sip:+14155550123@example.com",
    "\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff12\uff13",
    "300.155.501.23", "+41.55.50.123",
])  # fmt: skip
def test_number_is_masked_however_it_is_written(lines, written):
    structlog.get_logger().error("task_failed", reason=f"no route to {written}, given up", exc_info=ValueError(written))
    (line,) = lines()
    shown = "".join(letter for letter in line["reason"] if letter.isdigit())
    assert len(shown) <= 4, "the last two, and what is no part of the number"
    assert "given up" in line["reason"]


@each("text", [
    "10.0.0.1/readyz answers 503", "127.0.0.1:6379 refused", "http://192.168.100.200/sessions", "port 8080, 12/60 s",
    "300 s of 3600", "version 0.1.0", "100,000 commands wait",
])  # fmt: skip
def test_text_without_phone_numbers_is_left_unchanged(text):
    assert redaction.mask_numbers(text) == text


def test_example_number_in_our_own_texts_is_not_redacted(lines):
    structlog.get_logger().error("directory_refused", reason=f"such as {redaction.EXAMPLE}, not +12025550146")
    assert lines()[0]["reason"] == "such as +12025550145, not +…46"


@pytest.mark.redis
async def test_whole_life_of_a_call_puts_no_number_and_no_name_into_the_log(lines, redis_server):
    async with LocalSystem(redis_server.url) as system:
        customer, agent = await system.converted()
        await system.command("convert", "CA" + "0" * 32)
        for fields in ({"to": ELSEWHERE}, {"to": f"{CUSTOMER},{ELSEWHERE}", "brief": CUSTOMER}, {ELSEWHERE: CUSTOMER}):
            assert (await system.command("transfer", customer.sid, mode="blind", **fields)).status == "rejected"
        assert (await system.command("convert", ELSEWHERE[1:])).status == "rejected"
        system.sandbox.faults.next_rest("*", "/", status=500)
        agent.hang_up()
        await system.until(customer.sid, state="ended")
        await system.settled()
    text = json.dumps(lines())
    assert len(lines()) > 30
    for secret in (
        CUSTOMER[1:],
        NUMBER[1:],
        ELSEWHERE[1:],
        CUSTOMER[-7:],
        ELSEWHERE[-7:],
        "alice",
        system.sandbox.auth_token,
    ):
        assert secret not in text
    common = {"event", "level", "timestamp", "exception", "service", "process", "message"}
    assert all(line.keys() <= log.KEYS | common for line in lines())


class NoSpaceLeft(io.StringIO):
    """A file on a full disk."""

    def write(self, _text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("says", [structlog.get_logger().error, logging.getLogger("aiohttp.server").error])
def test_unwritable_log_blocks_no_one(says, capsys):
    log.configure("json", NoSpaceLeft(), process="test", cache_loggers=False)
    try:
        says("something_happened")
    finally:
        plain_log.configure()
    assert capsys.readouterr().err == "", "the standard module complains of its stream there"


# ---- texts of any length and shape -------------------------------------------------------------------------------

octets = st.integers(0, 255).map(str)
hosts = st.tuples(octets, octets, octets, octets).map(".".join)
numbers = st.sampled_from(["+14155550123", "4155550123", "415-555-0123", "(415) 555 0123", "%2B1%20415%205550123"])
pieces = st.one_of(hosts, numbers, st.sampled_from(["/", "x", " refused ", ":6379", "-", "%", "+", "1", "%C2%A0"]))


@given(st.lists(pieces, min_size=1, max_size=6).map("".join), st.integers(1, 9_000))
def test_text_of_any_length_is_masked_in_linear_time(piece, count):
    text = (piece * count)[: 64 * 1024]
    started_s = time.process_time()
    masked = redaction.mask_numbers(text)
    assert time.process_time() - started_s < 0.5
    assert "5550123" not in masked


@given(numbers, st.sampled_from(["", "no route to ", "x", "10.0.0.1/"]), st.integers(0, 40))
def test_number_that_a_cut_falls_into_shows_two_digits_at_most(number, before, length_max):
    shown = redaction.mask_numbers(redaction.cut_text(f"{before}{number} is busy", length_max))
    behind = shown.removeprefix(before) if shown.startswith(before) else ""
    assert sum(letter.isdigit() for letter in behind.removeprefix("%2B")) <= 2


def test_hosts_joined_by_slashes_are_kept():
    text = "10.0.0.1/" * 7_000
    assert redaction.mask_numbers(text) == text
    assert redaction.mask_numbers(f"{text}14155550123") == f"{text}…23"
