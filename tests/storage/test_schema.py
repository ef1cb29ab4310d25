"""Within a level changes only add: what any level has written is read, and written again with all that it said."""

import json
from typing import Any

import pytest

from conferral.storage.codecs import effect_codec, event_codec, session_codec
from conferral.storage.schema import RECOVERY_SINCE, SCHEMA_VERSION, SCHEMA_VERSION_MIN, SCHEMA_VERSIONS, SchemaVersion
from tests.storage.schema_records import Record, kept, levels_kept, written_today

KEPT = {name: record for level in levels_kept() for name, record in kept(level).items()}


def again(name: str, record: Record) -> Record:
    """Read and written by this version."""
    if name == "session":
        return session_codec.encode(session_codec.decode(record))
    if name.startswith("event "):
        return event_codec.encode(event_codec.decode(record, "1-1"))
    entry = effect_codec.decode(record["body"].encode())
    assert entry is not None
    return {"body": effect_codec.encode(entry).decode()}


def holds(whole: Any, part: Any) -> bool:
    """Whether everything of a part is in the whole, at any depth."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and holds(whole[name], part[name]) for name in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)


def taken_apart(record: Record) -> dict[str, Any]:
    """With the JSON inside of it read."""

    def value(text: str) -> Any:
        return json.loads(text) if text[:1] in ("{", "[") else text

    return {name: value(text) for name, text in record.items()}


@pytest.mark.parametrize("name", KEPT)
def test_record_of_any_level_is_read_and_keeps_what_it_said(name: str) -> None:
    assert holds(taken_apart(again(name, KEPT[name])), taken_apart(KEPT[name]))


def test_every_kind_of_record_belongs_to_a_level() -> None:
    """A kind that is new needs a new level: python -m tests.storage.schema_records, and a line in `LEVELS`."""
    assert set(written_today()) == set(KEPT)


def test_the_second_level_has_added_one_event() -> None:
    assert set(kept(RECOVERY_SINCE)) == {"event conference_found"}
    assert "conference_found" in SCHEMA_VERSIONS[RECOVERY_SINCE]


@pytest.mark.parametrize("name", KEPT)
def test_what_a_later_version_adds_does_no_harm(name: str) -> None:
    record = dict(KEPT[name])
    if name.startswith("outbox "):
        record["body"] = json.dumps(json.loads(record["body"]) | {"of_later": "x"})
    else:
        record["of_later"] = "x"
    again(name, record)


def test_levels_are_counted_from_the_first() -> None:
    assert list(SCHEMA_VERSIONS) == list(range(SCHEMA_VERSION_MIN, SCHEMA_VERSION + 1))


def test_level_that_is_written_bounds_what_is_allowed() -> None:
    level = SchemaVersion(2)
    assert level.allows(2)
    level.written = 1
    assert (level.allows(2), level.is_too_new, level.problem) == (False, False, "")
    level.written = 3
    assert level.allows(2)
    assert not level.allows(3)
    assert level.problem == "schema: Redis is at level 3, this version knows 2: update it"


def test_a_field_that_is_dropped_would_be_noticed() -> None:
    record = KEPT["session"] | {"party.agent.dropped": "x"}
    assert not holds(taken_apart(again("session", record)), taken_apart(record))
