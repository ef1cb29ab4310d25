"""Why a `<Dial>` failed, as its action request says it."""

import pytest
from msgspec.structs import replace

from conferral.operations.explanation import explain
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_codec import stored_session
from conferral.telephony.callback_events import dial_ended
from conferral.telephony.callback_urls import DialAction, DialKind
from tests.statemachine.scenario import CUSTOMER_CALL, Scenario
from tests.support.sample_logs import recorded

FORM = {
    "CallSid": CUSTOMER_CALL,
    "CallStatus": "in-progress",
    "DialCallStatus": "failed",
    "ErrorCode": "13224",
    "ErrorMessage": "can't call +14155550123",
}


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_failed_dial_to_an_agent_is_explained_by_twilios_error(is_reported_first: bool) -> None:
    def play() -> Scenario:
        story = Scenario().comes_in()
        if is_reported_first:
            story.call("agent", "failed")
        ended = dial_ended(FORM, DialAction(story.session.id, "customer", DialKind.BRIDGE))
        return story.take(replace(ended, entry_id=f"{story.now_ms}-99"))

    log, sessions = recorded(play)
    failure = explain(stored_session(session_codec.encode(sessions[-1])), log, sessions[-1].updated_at_ms).first_failure

    assert failure is not None
    assert (failure.twilio_code, failure.link) == (13224, "https://www.twilio.com/docs/api/errors/13224")
    assert "Twilio can't call the number" in f"{failure.text}; {failure.guard}"
    assert "5550123" not in repr(failure)
