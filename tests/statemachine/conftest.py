"""Small sessions take the same path as large ones."""

import pytest

from conferral.statemachine import machine


@pytest.fixture(autouse=True)
def small_sessions_note_who_is_restless(monkeypatch):
    """Most tests have two or three parties, and `check_notes` compares each note with all of them."""
    monkeypatch.setattr(machine, "NOTED_FROM", 0)
