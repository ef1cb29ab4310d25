"""The `transitions` machine, and how a step uses it."""

import pytest

from conferral.statemachine import machine
from tests.statemachine.scenario import Scenario


def test_step_without_an_end_is_a_mistake_of_the_table(monkeypatch):
    story, taken = Scenario().answered(), []
    monkeypatch.setattr(machine, "take_row", lambda _draft, event: taken.append(event.name) or True)

    with pytest.raises(AssertionError, match=r"^no end of what follows from end in bridged$"):
        story.end()
    assert taken == ["end", *["automatic"] * 16]
