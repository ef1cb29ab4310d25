"""The pytest plug-in: its fixtures and hooks, unless pluggy is too old.

An older pluggy has no new-style hook wrappers. There, a program's tests have to run as if Offhook weren't installed.
"""

import inspect

import pytest

IS_USABLE = "wrapper" in inspect.signature(pytest.hookimpl).parameters  #: Since pluggy 1.2.

if IS_USABLE:
    from offhook.pytest_fixtures import _twilio_server as _twilio_server
    from offhook.pytest_fixtures import pytest_runtest_call as pytest_runtest_call
    from offhook.pytest_fixtures import pytest_runtest_makereport as pytest_runtest_makereport
    from offhook.pytest_fixtures import serve as serve
    from offhook.pytest_fixtures import twilio_client as twilio_client
    from offhook.pytest_fixtures import twilio_sandbox as twilio_sandbox
    from offhook.pytest_fixtures import twilio_sandbox_options as twilio_sandbox_options
else:

    def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:  # pytest 8 exports it
        """Say why there are no fixtures."""
        terminalreporter.write_line("offhook: no fixtures: they need pluggy 1.2 or newer (pip install 'pluggy>=1.2')")
