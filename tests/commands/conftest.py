import pytest

from conferral.storage.connection.client import make_client


@pytest.fixture
async def client(redis_server):
    client = make_client(redis_server.url)
    yield client
    await client.aclose()
