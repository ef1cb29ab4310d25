"""Lets the assertions of stories say what differs."""

import pytest

pytest.register_assert_rewrite(*(f"tests.statemachine.{name}" for name in ("story", "stages", "rooms", "ordering")))
