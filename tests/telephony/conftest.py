from collections.abc import AsyncIterator

import pytest

from tests.telephony.sandbox_call import SandboxCallLine, open_line


@pytest.fixture
async def line() -> AsyncIterator[SandboxCallLine]:
    async with open_line() as opened:
        yield opened
