"""For how long someone was alone in a conference, or in silence."""

import pytest

from tests.sandbox.model_scenario import ModelScenario


def seconds(story: ModelScenario) -> tuple[float, float]:
    alone = story.exchange.alone_time
    return alone.in_conference.seconds(story.now_s), alone.in_silence.seconds(story.now_s)


def test_alone_is_who_is_the_only_one_in_a_conference_whatever_plays(story: ModelScenario) -> None:
    customer = story.member("waitUrl=''")
    story.passes(3.0)
    agent = story.member("waitUrl=''")
    story.passes(10.0)
    assert seconds(story) == pytest.approx((3.0, 3.0))

    story.update(customer, ("Hold", "true"))
    story.passes(10.0)  # she hears music, and he hears no one; but neither is alone
    assert seconds(story) == pytest.approx((3.0, 13.0))

    story.hangs_up(agent)
    story.passes(4.0)
    story.hangs_up(customer)
    story.passes(100.0)
    assert seconds(story) == pytest.approx((7.0, 13.0))


def test_party_waiting_with_music_is_alone_and_not_in_silence(story: ModelScenario) -> None:
    story.member()
    story.passes(5.0)
    assert seconds(story) == pytest.approx((5.0, 0.0))


def test_calls_that_never_see_a_conference_count_in_silence_alone(story: ModelScenario) -> None:
    story.call_in("<Response><Pause length='2'/><Play>tune.mp3</Play></Response>")
    story.passes(2.5)
    assert seconds(story) == pytest.approx((0.0, 2.0))
