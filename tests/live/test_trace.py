"""What a run keeps of a Twilio has no number and no SID, and says how long each call heard what."""

import json

from tests.live.conftest import Twilio
from tests.live.test_traces import problems
from tests.live.trace import lines_of


def test_trace_has_spans_order_codes_and_seconds_without_numbers(twilio: Twilio) -> None:
    sids = [str(twilio.call(twilio.conference()).sid) for _ in range(2)]
    for sid in sids:
        twilio.program.expect("/conference", StatusCallbackEvent="participant-join", CallSid=sid)
    conference = twilio.program.expect("/conference", StatusCallbackEvent="conference-start").fields["ConferenceSid"]
    participant = twilio.client.conferences(conference).participants(sids[0])
    participant.update(hold=True)
    twilio.program.expect("/conference", StatusCallbackEvent="participant-hold")
    participant.update(hold=False)
    twilio.program.expect("/conference", StatusCallbackEvent="participant-unhold")
    twilio.hang_up_all()
    twilio.refused(participant.update, hold=True)
    trace = twilio.trace("held")
    assert [one["call"] for one in trace["spans"] if one["what"] == "hears hold music"] == ["CA-1"]
    assert trace["codes"] == ["20404"]
    assert trace["billed_s"].keys() < {one["CallSid"] for one in trace["callbacks"] if "CallSid" in one}
    assert len(trace["billed_s"]) == 2
    assert problems("us1-2027-01-business.json", json.dumps(trace)) == []
    assert [line for line in lines_of(trace) if line.startswith("  CA-1 hears hold music: ")] != []
