"""Lets the assertions of stories say what differs."""

import pytest

pytest.register_assert_rewrite("tests.statemachine.story", "tests.statemachine.stages", "tests.statemachine.rooms")
