"""Why a `<Dial>` failed, as its action request says it."""

import pytest

from conferral.operations.explanation import explain
from conferral.statemachine.events import DialEnded
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_view import view_of
from tests.statemachine.scenario import CUSTOMER_CALL, Scenario
from tests.support.sample_logs import recorded


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_failed_dial_to_an_agent_is_explained_by_twilios_error(is_reported_first: bool) -> None:
    def play() -> Scenario:
        story = Scenario().comes_in()
        if is_reported_first:
            story.call("agent", "failed")
        ended = DialEnded(
            **story._common(),
            party="customer",
            call_sid=CUSTOMER_CALL,
            dial="bridge",
            dial_call_status="failed",
            call_status="in-progress",
            code=13224,
        )
        return story.take(ended)

    log, sessions = recorded(play)
    failure = explain(view_of(session_codec.encode(sessions[-1])), log, sessions[-1].updated_at_ms).first_failure

    assert failure is not None
    assert (failure.twilio_code, failure.link) == (13224, "https://www.twilio.com/docs/api/errors/13224")
    assert "Twilio can't call the number" in f"{failure.text}; {failure.guard}"
