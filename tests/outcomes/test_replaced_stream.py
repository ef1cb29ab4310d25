"""The sender's position when the stream of outcomes is renamed or deleted."""

import pytest

from tests.outcomes.test_sender import Sending, in_sending


@in_sending
@pytest.mark.parametrize("is_renamed", [True, False])
async def test_stream_that_ends_before_the_position_is_sent_from_its_beginning(work: Sending, is_renamed: bool) -> None:
    client, outcomes = work.team.client, work.team.keys.outcomes
    await work.join()
    highest = await client.xadd(outcomes, {"another": "program's"}, id=f"{2**64 - 1}-{2**64 - 1}")
    await work.team.passes(1)
    assert (await work.queue.read_state()).position == highest.decode()
    await (client.rename(outcomes, "away") if is_renamed else client.delete(outcomes))
    await work.team.passes(5)  # while there is no stream
    names = [await work.write("CA1"), await work.write("CA1")]
    await work.until(lambda: work.receiver.accepted == names)
    later = await work.write("CA2")
    await work.until(lambda: later in work.receiver.accepted)
    await work.team.passes(5)
    assert len(work.receiver.requests) == 3


@in_sending
async def test_stream_that_was_away_for_a_while_is_not_sent_again(work: Sending) -> None:
    client, outcomes = work.team.client, work.team.keys.outcomes
    await work.join()
    name = await work.write("CA1")
    await work.until(lambda: work.receiver.accepted == [name])
    await client.rename(outcomes, "away")
    await work.team.passes(5)
    await client.rename("away", outcomes)
    await client.xtrim(outcomes, maxlen=0, approximate=False)
    later = await work.write("CA1")
    await work.until(lambda: later in work.receiver.accepted)
    assert work.receiver.accepted == [name, later]
