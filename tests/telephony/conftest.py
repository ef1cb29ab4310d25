from collections.abc import AsyncIterator

import pytest

from tests.telephony.sandbox_line import Line, open_line


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with open_line() as opened:
        yield opened
