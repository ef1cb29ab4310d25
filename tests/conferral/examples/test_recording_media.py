"""A recording's media, fetched by the program of docs/outcomes.md."""

import pytest

from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("conferral_stack_settings", [{"CONFERRAL_RECORD": "customer"}])
def test_media_of_a_recording_is_fetched(conferral_stack):
    sandbox = conferral_stack.sandbox
    (text,) = [one for one in blocks(ROOT / "docs/outcomes.md", "python") if "def fetch_media" in one]
    program = {"API_KEY": sandbox.account_sid, "API_SECRET": sandbox.auth_token}
    exec(text, program)
    alice = sandbox.phones[conferral_stack.agent].script(answer_after_s=0)
    caller = conferral_stack.call()
    sandbox.wait_until(lambda: caller.hears(alice) and sandbox.run(lambda it: it.model.state.recordings))

    caller.hang_up()
    outcome = conferral_stack.outcomes.next("recording.completed")
    assert outcome.data["session"] == caller.sid
    assert program["fetch_media"](outcome.data).startswith(b"\xff")  # an MP3 frame
