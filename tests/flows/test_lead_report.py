"""What a lead's report makes of real calls: a caller who comes back from the app is one call."""

import asyncio
from urllib.parse import quote

import pytest

from conferral.outcomes.report import read_report
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader
from conferral.testing import ConferralStack
from tests.support.people import AGENT_PHONE, BOB

pytestmark = pytest.mark.redis
FOREVER_MS = 10**14


@pytest.fixture
def app(conferral_stack):
    """Rings an agent on a phone; without them, the caller comes back, and it rings Bob."""

    def answer(environ, start_response):
        back = quote(f"{conferral_stack.app_url}/again", safe="")
        options = f"to=%2B{AGENT_PHONE[1:]}&amp;back={back}" if environ["PATH_INFO"] == "/inbound" else f"to={BOB}"
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [f"<Response><Redirect>{conferral_stack.url}/voice/handoff?{options}</Redirect></Response>".encode()]

    conferral_stack.serve(answer)


async def report_of(stack: ConferralStack):
    client = make_client(stack.redis_url)
    report = await read_report(SessionReader(client, Keys(stack.prefix, 2)), 0, FOREVER_MS)
    await client.aclose()
    return report.data(full=True)


def test_the_visits_of_a_caller_are_one_call_that_the_second_agent_answered(conferral_stack, app):
    conferral_stack.sandbox.phones[AGENT_PHONE].script(outcome="busy")
    bob = conferral_stack.desk("bob")
    caller = conferral_stack.call("/inbound")
    bob.answer()
    bob.hang_up()
    ended = [conferral_stack.outcomes.next("session").data for _ in range(2)]
    assert [one["reason"] for one in ended] == ["returned", "agent-left"]
    assert [one["session"] for one in ended] == [caller.sid, f"{caller.sid}-2"]

    data = asyncio.run(report_of(conferral_stack))
    names = ("calls", "offered", "answered", "answered_within", "abandoned", "returned")
    assert [data["numbers"][0][name] for name in names] == [1, 1, 1, 1, 0, 0]
    first_s, second_s = (one["answer_s"] for one in ended)
    assert (first_s, data["total"]["wait_longest_s"] > second_s) == (None, True)
    rings = {one["address"]: (one["rung"], one["answered"], one["busy"]) for one in data["agents"]}
    assert rings == {AGENT_PHONE: (1, 0, 1), BOB: (1, 1, 0)}
