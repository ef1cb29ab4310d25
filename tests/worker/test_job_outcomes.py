"""The outcome events of an effect."""

from conferral.runtime.errors import ProviderGoneError
from conferral.statemachine.effects import HangUpCall
from conferral.worker.executor.job import failed

EFFECT = HangUpCall(effect_id="e1", session_id="S1", party="agent", call_sid="CA1")


def test_failure_without_a_request_has_no_status_and_no_code() -> None:
    event = failed(EFFECT, None)
    assert (event.effect_id, event.http_status, event.code, event.gone) == ("e1", 0, 0, False)


def test_failure_has_twilios_last_answer() -> None:
    event = failed(EFFECT, ProviderGoneError(http_status=404, code=20404))
    assert (event.http_status, event.code, event.gone) == (404, 20404, True)
