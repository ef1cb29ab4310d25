"""What processes log while a test runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


@contextmanager
def lines_of(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Iterator[list[Any]]:
    """The lines that these modules log. A logger that was used once keeps the configuration that it was used under."""
    for module in modules:
        monkeypatch.setattr(module, "log", structlog.get_logger())
    with capture_logs() as captured:
        yield captured
