"""The tests that docs/sandbox.md shows, as it shows them."""

import inspect

import pytest

from tests.conferral.examples.test_handoff_examples import load
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks

pytestmark = pytest.mark.redis


@pytest.fixture
def app(conferral_stack, monkeypatch):
    """The Flask app of the page."""
    return load("flask_routing", monkeypatch, app_url=conferral_stack.app_url, voice_url=conferral_stack.url).app


for _text in blocks(ROOT / "docs" / "sandbox.md", "python"):
    exec(compile(_text, "docs/sandbox.md", "exec"), globals())


def test_the_page_has_its_tests():
    functions = (one for one in globals().values() if inspect.isfunction(one))
    shown = {one.__name__ for one in functions if one.__code__.co_filename == "docs/sandbox.md"}
    assert shown == {"test_caller_is_called_back_if_alice_is_busy", "test_alice_asks_bob_and_hands_over"}
