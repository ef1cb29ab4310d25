"""What the tests of the documentation share: the command line."""

import pytest

from tests.docs.generated import load_script


@pytest.fixture(scope="session")
def commands():
    """The command line's commands, by name."""
    return load_script("cli_page").command_tree().commands
