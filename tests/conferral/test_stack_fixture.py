"""The fixture `conferral_stack`; its use with an app is in `test_handoff_examples.py`."""

import subprocess
import sys

import pytest

from conferral import Client
from conferral.testing import ConferralStack
from tests.support.people import BOB

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("_once_more", range(2))
async def test_stack_of_a_test_is_empty_and_serves_coroutines(conferral_stack: ConferralStack, _once_more: int) -> None:
    alice = conferral_stack.sandbox.phones[conferral_stack.agent].script(answer_after_s=1)
    bob = conferral_stack.sandbox.phones[BOB].script(answer_after_s=1)
    async with Client(conferral_stack.redis_url, conferral_stack.prefix) as client:
        assert await client.sessions() == []
        caller = conferral_stack.call()
        await conferral_stack.sandbox.wait_until(lambda: caller.hears(alice))
        await client.transfer(caller.sid, to=BOB, mode="blind")
    await conferral_stack.sandbox.wait_until(lambda: caller.hears(bob))


@pytest.mark.parametrize(
    "conferral_stack_settings", [{"CONFERRAL_AGENT": BOB, "CONFERRAL_API_TOKEN": "a-token-of-ones-own-42"}]
)
def test_settings_hold_for_a_test(conferral_stack: ConferralStack, conferral_stack_settings: dict[str, str]) -> None:
    assert [conferral_stack.agent, conferral_stack.api_token] == [*conferral_stack_settings.values()]
    caller = conferral_stack.call()
    bob = conferral_stack.sandbox.phones[conferral_stack.agent]
    conferral_stack.sandbox.wait_until(lambda: bob.rings)
    assert caller.hears("ringback")


def test_plug_in_costs_nothing_unused() -> None:
    program = "import sys, conferral.pytest_plugin; print(*(it for it in sys.modules if it.startswith('conferral')))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["conferral", "conferral.pytest_plugin"]
