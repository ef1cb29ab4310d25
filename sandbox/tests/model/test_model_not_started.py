"""What is refused while a conference is not in progress: ending it, what is done to those in it, adding someone.

Source: Twilio docs, Errors, 16001, 16022, and 16099; TwiML `<Conference>`, `startConferenceOnEnter`.
"""

from dataclasses import replace

import pytest

from model_scenario import APP, BUSINESS, ModelScenario
from offhook.model.behavior import Behavior

WAITS = f"startConferenceOnEnter='false' waitUrl='{APP}/wait'"
END, ANNOUNCE = ("Status", "completed"), ("AnnounceUrl", f"{APP}/announce")
ADD = (("To", "client:carol"), ("From", BUSINESS))


def waiting(behavior: Behavior | None = None) -> tuple[ModelScenario, str, str]:
    """A caller who waits alone: the story, the conference's path, the caller's."""
    story = ModelScenario(behavior)
    customer = story.member(WAITS)
    conference = f"/Conferences/{story.conference()}"
    return story, conference, f"{conference}/Participants/{customer}"


@pytest.mark.parametrize(("change", "code"), [(END, 16001), (ANNOUNCE, 16099)], ids=["end", "announce"])
def test_nothing_is_done_to_a_conference_that_has_not_started(change: tuple[str, str], code: int) -> None:
    story, conference, _ = waiting()

    assert story.refused("POST", f"{conference}.json", change) == (400, code)
    assert story.events() == ["participant-join"]


@pytest.mark.parametrize(
    "method, params",
    [
        ("POST", (("Hold", "true"),)),
        ("POST", (("Muted", "true"),)),
        ("POST", (("EndConferenceOnExit", "true"),)),
        ("POST", (ANNOUNCE,)),
        ("DELETE", ()),
    ],
)
def test_nothing_is_done_to_anyone_in_a_conference_that_has_not_started(
    method: str, params: tuple[tuple[str, str], ...]
) -> None:
    story, _, customer = waiting()

    assert story.refused(method, f"{customer}.json", *params) == (400, 16099)
    assert story.events() == ["participant-join"]


def test_all_of_it_works_once_the_conference_has_started_even_if_one_alone_is_left() -> None:
    story, conference, customer = waiting()
    other = story.member()

    assert story.refused("POST", f"{customer}.json", ("Hold", "true")) == (200, None)
    story.hangs_up(other)
    assert story.refused("POST", f"{customer}.json", ("Hold", "false")) == (200, None)
    assert story.refused("POST", f"{conference}.json", END) == (200, None)


@pytest.mark.parametrize("change", [END, ANNOUNCE], ids=["end", "announce"])
def test_nothing_is_done_to_a_conference_that_is_over(story: ModelScenario, change: tuple[str, str]) -> None:
    story.hangs_up(story.member())

    assert story.refused("POST", f"/Conferences/{story.conference()}.json", change) == (400, 16022)


@pytest.mark.parametrize("rule, expected, rings", [("taken", (201, None), 1), ("refused", (400, 16099), 0)])
def test_adding_someone_before_the_start_is_a_rule(rule: str, expected: tuple[int, int | None], rings: int) -> None:
    story, conference, _ = waiting(replace(Behavior(), add_before_start=rule))

    assert story.refused("POST", f"{conference}/Participants.json", *ADD) == expected
    assert len(story.rings) == rings
