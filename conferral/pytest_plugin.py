"""The pytest plug-in: `conferral_stack`, for tests of your own app.

Everything is imported and started by the first test that uses it.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conferral.testing import ConferralStack
    from conferral.testing.stack import StackServer


@pytest.fixture(scope="session")
def _conferral_server() -> Iterator["StackServer"]:
    if find_spec("offhook") is None:
        pytest.fail("conferral_stack needs the sandbox: pip install 'conferral[sandbox]'", pytrace=False)
    from conferral.operations.errors import CommandNotDoneError
    from conferral.testing.stack import StackServer

    try:
        server = StackServer()
    except CommandNotDoneError as error:
        pytest.fail(f"conferral_stack: {error}", pytrace=False)
    yield server
    server.end()


@pytest.fixture
def conferral_stack_settings() -> dict[str, str]:
    """Settings of webhooks and worker, by their names; override it."""
    return {}


@pytest.fixture
def conferral_stack(
    _conferral_server: "StackServer", conferral_stack_settings: dict[str, str], request: pytest.FixtureRequest
) -> Iterator["ConferralStack"]:
    """Redis, a sandbox, webhooks, and one worker, without any session."""
    if (clock := request.getfixturevalue("twilio_sandbox_options").get("clock", "running")) != "running":
        pytest.fail(
            f"conferral_stack refuses the option clock={clock!r}: Conferral acts on timers of its own, in real time, "
            "so Twilio's time can't stand still or jump",
            pytrace=False,
        )
    with _conferral_server.stack(request.getfixturevalue("twilio_sandbox"), conferral_stack_settings) as stack:
        yield stack
