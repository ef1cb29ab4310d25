"""A process knows which schema version it writes, and whether it must decide nothing."""

from conferral.storage.config import SchemaVersion


def test_version_that_is_written_bounds_what_a_process_writes():
    schema = SchemaVersion(2)
    assert schema.writes_at == 2
    schema.written = 1
    assert (schema.writes_at, schema.is_too_new, schema.problem) == (1, False, "")
    schema.written = 3
    assert (schema.writes_at, schema.is_too_new) == (2, True)
    assert schema.problem == "schema: Redis has version 3, this release supports 2: update it"
