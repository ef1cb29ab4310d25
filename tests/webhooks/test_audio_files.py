"""Our own audio: fetched by anyone, cached, and made by the script that says how."""

from pathlib import Path

import pytest

from conferral.webhooks.wait_url import PATHS
from tests.webhooks.webhook_helpers import PUBLIC_URL

FILES = sorted(PATHS.values())
MEDIA = Path(__file__).parents[2] / "webhooks" / "media"


@pytest.mark.parametrize("prefix", ["", "/conferral"])
@pytest.mark.parametrize("path", FILES)
async def test_audio_files_are_public_and_cacheable(open_client, prefix, path):
    client = await open_client(CONFERRAL_PUBLIC_URL=PUBLIC_URL + prefix)

    async with client.get(prefix + path) as response:
        body = await response.read()
        assert (response.status, response.content_type) == (200, "audio/wav")
        assert response.headers["Cache-Control"] == "public, max-age=86400"
        tag = response.headers["ETag"]
    async with client.get(prefix + path, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
    async with client.get(prefix + path, headers={"If-None-Match": '"of-yesterday"'}) as response:
        assert (response.status, await response.read()) == (200, body)
    assert body == (MEDIA / Path(path).name).read_bytes()


async def test_there_is_nothing_else_to_fetch(client):
    for path in ("/media/", "/media/../app.py", "/media/%2e%2e/app.py", "/media/other.wav"):
        async with client.get(path) as response:
            assert response.status == 404
