"""A server that webhooks take for one that has run for long."""

import pytest

from conferral.storage.ingest import writer
from conferral.storage.ingest.writer import BatchingIngest


async def up_for_long(publisher: BatchingIngest) -> None:
    """Checks the server as if it had been up for more than a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "RECENT_RESTART_S", 0.0)
        await publisher.server.check()
