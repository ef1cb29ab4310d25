"""The flows of `docs/flows/`, in each reading of Twilio's documentation: they go well, and no one hears too much.

`tests/docs/test_flows.py` plays some of them in every run, and compares the drawings with the pages.
"""

import pytest

from tests.support import documented_flows

pytestmark = [pytest.mark.redis, pytest.mark.soak]


@pytest.mark.parametrize("name", documented_flows.FLOWS)
async def test_drawn_flow_goes_well_and_in_no_scene_is_anyone_overheard_or_in_silence(redis_server, name):
    await documented_flows.draw(redis_server.url, name)
