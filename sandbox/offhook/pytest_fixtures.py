"""The fixtures of the pytest plug-in, and their hooks.

The sandbox is imported and started by the first test that uses it.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from offhook.testing import Serve, TwilioSandbox
    from offhook.testing.served import ServerThread

_IN_USE = pytest.StashKey["TwilioSandbox"]()


@pytest.fixture(scope="session")
def _twilio_server() -> Iterator["ServerThread"]:
    server: Any
    if url := os.environ.get("OFFHOOK_URL"):
        from offhook.testing.remote import RemoteServer

        server = RemoteServer(url, os.environ)
    else:
        from offhook.testing.served import ServerThread

        server = ServerThread()
    yield server
    server.end()


@pytest.fixture
def twilio_sandbox_options() -> dict[str, Any]:
    """Options of the sandbox, such as `speed` and `clock`; override it."""
    return {}


@pytest.fixture
def twilio_sandbox(
    _twilio_server: "ServerThread", twilio_sandbox_options: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator["TwilioSandbox"]:
    """A local Twilio, started and empty, of which errors fail the test."""
    from offhook.testing import TwilioSandbox

    sandbox = TwilioSandbox(_twilio_server)
    sandbox.empty(**twilio_sandbox_options)
    request.node.stash[_IN_USE] = sandbox
    yield sandbox
    del request.node.stash[_IN_USE]
    sandbox.empty()  # so that calls that go on ask no application that is gone


@pytest.fixture
def twilio_client(twilio_sandbox: "TwilioSandbox") -> Iterator[Any]:
    """Twilio's own client, pointed at the sandbox."""
    try:
        rest, http = import_module("twilio.rest"), import_module("twilio.http.http_client")
    except ImportError as error:
        pytest.fail(f"twilio_client needs Twilio's library ({error}): pip install twilio", pytrace=False)
    connection = http.TwilioHttpClient()
    client = rest.Client(twilio_sandbox.account_sid, twilio_sandbox.auth_token, http_client=connection)
    client.api.base_url = twilio_sandbox.url
    client.region = client.edge = None  # they are parts of a name of twilio.com
    connection.session.trust_env = False  # a proxy can't reach this machine's loopback
    yield client
    connection.session.close()


@pytest.fixture
def serve() -> Iterator["Serve"]:
    """Serve an app (WSGI or ASGI) until the test ends: `url = serve(app)`."""
    from offhook.testing.app_server import served

    with ExitStack() as apps:
        yield lambda app: apps.enter_context(served(app))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test for errors in Twilio's debugger."""
    yield
    if (sandbox := item.stash.get(_IN_USE, None)) and (problems := sandbox.unexpected_alerts()):
        pytest.fail(problems, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what happened in the sandbox of a test that fails."""
    report = yield
    if report.failed and (sandbox := item.stash.get(_IN_USE, None)) and not _reports_story(call):
        report.sections.append(("Twilio sandbox", sandbox.story()))
    return report


def _reports_story(call: pytest.CallInfo[None]) -> bool:
    """Whether the error's message is the story."""
    from offhook.testing import ConditionTimeoutError

    return call.excinfo is not None and call.excinfo.errisinstance(ConditionTimeoutError)
