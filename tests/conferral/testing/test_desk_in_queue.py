"""The desk of `conferral_stack` and callers who wait in a queue."""

import pytest

from conferral.testing import ConferralStack, desk

pytestmark = pytest.mark.redis


@pytest.fixture
def twilio_sandbox_options():
    """A ring ends after a second."""
    return {"speed": 5}


@pytest.fixture
def conferral_stack_settings(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text('[inbound."+14155550100"]\nagents = ["client:alice"]\nfallback = "queue"\n')
    return {"CONFERRAL_DIRECTORY": str(path), "CONFERRAL_RING_TIMEOUT": "5"}


def test_agent_who_missed_an_offer_gets_another_only_after_going_ready(
    conferral_stack: ConferralStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "RENEW_EVERY_S", 0.0)
    sandbox, alice = conferral_stack.sandbox, conferral_stack.desk("alice")
    caller = conferral_stack.call()
    sandbox.wait_until(lambda: len(alice.phone.calls) == 2, timeout_s=20)  # before the queue, and an offer
    sandbox.wait_until(lambda: alice.status == "away", timeout_s=20)
    renewals = []
    monkeypatch.setattr(desk.ClientSession, "request", counted(desk.ClientSession.request, renewals))
    sandbox.wait_until(lambda: len(renewals) > 2)
    assert (alice.status, len(alice.phone.calls)) == ("away", 2)

    alice.go_ready()
    alice.answer()
    assert caller.hears(alice.phone)


def counted(request, renewals):
    """The method, noting what renews presence."""

    def requested(session, method, path, **options):
        if path == "/desk/presence":
            renewals.append(options["json"])
        return request(session, method, path, **options)

    return requested
