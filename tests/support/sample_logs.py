"""Sessions of stories and their logs, as a worker writes them."""

from collections.abc import Callable
from typing import Any

import pytest

from conferral.statemachine.session import Session
from conferral.statemachine.step import Step
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import encode, for_readers, load
from conferral.worker.partition.log_entry import log_entry
from tests.statemachine.scenario import Scenario


def stored(session: Session | Scenario) -> Session:
    """A session, or that of a story, as readers get it."""
    given = session.session if isinstance(session, Scenario) else session
    record = {name.encode(): text.encode() for name, text in encode(given).items()}
    return for_readers(load(given.id, record))


def recorded(play: Callable[[], Scenario]) -> tuple[list[LogEntry], list[Session]]:
    """The log of a story, and the session at each version."""
    taken: list[tuple[Session, Any, Step, int]] = []
    take = Scenario.take

    def note(story: Scenario, event: Any) -> Scenario:
        before = story.session
        take(story, event)
        assert story.last is not None
        taken.append((before, event, story.last, story.now_ms))
        return story

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scenario, "take", note)
        play()
    counted = [one for one in taken if one[2].session.version != one[0].version]
    log = [
        LogEntry.of(f"{now_ms}-{number}", logged.stored())
        for number, (before, event, step, now_ms) in enumerate(counted)
        for logged in (log_entry(event, step, before, now_ms),)
    ]
    return log, [step.session for _, _, step, _ in counted]
